"""Changing a finished bundle: what stands before its tail is copied as it is, the tail is written anew."""

import os
import zlib
from collections.abc import Mapping
from pathlib import Path

from sharkpack.formats.archive import zip_records
from sharkpack.formats.archive.detached_signatures import check_signatures
from sharkpack.formats.archive.manifest_parts import SIGNATURES
from sharkpack.formats.archive.reader import Archive
from sharkpack.formats.io.output_file import OutputFile

_CHUNK = 16 << 20


def write_signatures(path: str | os.PathLike[str], signatures: Mapping[str, bytes]) -> None:
    """Give the bundle at `path` these signatures, by name, in place of those that it has; {} takes them away.

    Everything up to the manifest stays as it is, byte for byte. The file is written beside itself and renamed, so
    that it is whole at every moment. Raises SharkpackError for what is not a bundle, and for names and sizes that are
    not allowed.
    """
    given = {f"{SIGNATURES}{name}": bytes(data) for name, data in sorted(signatures.items())}
    check_signatures([(path_, len(data)) for path_, data in given.items()])
    with Archive.open(path) as archive:
        records = [each for each in archive.records if not each.path.startswith(SIGNATURES)]
        end = records[-1].end
        out = OutputFile(Path(path), overwrite=True)
        try:
            with memoryview(archive.mmap) as view:
                for start in range(0, end, _CHUNK):
                    out.write(view[start : min(end, start + _CHUNK)])
            for name, data in given.items():
                record = zip_records.Record(
                    path=name, crc32=zlib.crc32(data), size=len(data), header_offset=records[-1].end,
                    dos_time=records[-1].dos_time,
                )  # fmt: skip
                out.write(zip_records.local_header(record) + data)
                records.append(record)
            out.write(zip_records.directory(records))
            out.publish()
        finally:
            out.discard()
