"""Bundles with something wrong in them, made from a sound one: right in their ZIP records, whatever they say."""

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sharkpack.formats import zip_records
from sharkpack.formats.zip_records import DOS_EPOCH, Record


def with_manifest(source: Path, target: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Write to `target` the bundle `source`, its manifest changed in place by `change`; return `target`."""
    data = source.read_bytes()
    *members, (path, text) = [
        (record.path, data[record.data_offset : record.end]) for record in zip_records.read_directory(memoryview(data))
    ]
    manifest = json.loads(text)
    change(manifest)
    target.write_bytes(_assemble([*members, (path, json.dumps(manifest).encode())]))
    return target


def _assemble(members: list[tuple[str, bytes]]) -> bytes:
    out, records = b"", []
    for path, content in members:
        record = Record(
            path=path, crc32=zlib.crc32(content), size=len(content), header_offset=len(out), dos_time=DOS_EPOCH
        )
        out += zip_records.local_header(record) + content
        records.append(record)
    directory = b"".join(map(zip_records.central_record, records))
    return out + directory + zip_records.end_records(len(records), len(out), len(directory))
