"""Writing an archive: streamed once, hashed on the way, published in one rename. Knows members, not what is in them."""

import contextlib
import hashlib
import os
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from sharkpack.formats.archive import zip_records
from sharkpack.formats.archive.compressed import Compressed
from sharkpack.formats.archive.detached_signatures import check_signatures
from sharkpack.formats.archive.manifest import (
    MANIFEST_PATH,
    MAX_CONTENT_BYTES,
    MAX_MANIFEST_BYTES,
    SIGNATURES,
    Manifest,
    Member,
)
from sharkpack.formats.archive.member_path import check_distinct, check_member_path
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.io.buffers import Bytes, as_bytes
from sharkpack.formats.io.output_file import OutputFile

_CHUNK = 1 << 20
_HASHES_PENDING = 8
"""Pieces that wait to be hashed, at most: more than are staged while the system takes a block from the one before."""


class MemberWriter:
    """Takes the bytes of one member, in as many pieces as its producer likes; hashes them beside writing them."""

    def __init__(self, write: Callable[[memoryview], None], path: str, size: int, hasher: Executor) -> None:
        self._write, self._path, self._size, self._hasher = write, path, size, hasher
        self._pending: deque[Future[None]] = deque()
        self.written, self.crc32, self.sha256 = 0, 0, hashlib.sha256()

    def write(self, data: Bytes, /) -> int:
        """Append any C-contiguous buffer, whose content may not change before the member is complete.

        Raises SharkpackError past the member's size. Returns the bytes taken.
        """
        view = as_bytes(data)
        if self.written + len(view) > self._size:
            raise SharkpackError(f"member {self._path!r} was announced with {self._size} bytes and got more")
        self._pending.append(self._hasher.submit(self._hash, view))
        self._write(view)
        if len(self._pending) > _HASHES_PENDING:
            self._pending.popleft().result()
        self.written += len(view)
        return len(view)

    def complete(self) -> None:
        """Wait until `crc32` and `sha256` are those of all that was written."""
        while self._pending:
            self._pending.popleft().result()

    def _hash(self, view: memoryview) -> None:
        for start in range(0, len(view), _CHUNK):  # small enough that the second hash finds the bytes in the cache
            piece = view[start : start + _CHUNK]
            self.sha256.update(piece)
            self.crc32 = zlib.crc32(piece, self.crc32)


class ArchiveWriter:
    """Writes `path` as a bundle: enter, add members, `finish`, leave.

    The file appears, complete and synced, when the block ends without an exception; until then, and if it never does,
    there is only a hidden temporary file beside it, which is removed. A failure to write, a full disk or an existing
    `path` (unless `overwrite`) is a SharkpackError. Members are stored in the order in which they are added, stamped
    with SOURCE_DATE_EPOCH or else 1980-01-01.
    """

    def __init__(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        self._path = Path(path)
        self._overwrite = overwrite
        self._dos_time = _dos_time(os.environ.get("SOURCE_DATE_EPOCH"))
        self._records: list[zip_records.Record] = []
        self._members: list[Member] = []
        self._finished = False

    @property
    def members(self) -> list[Member]:
        """Members that the manifest has to list: all members so far, `mimetype` first."""
        return list(self._members)

    def __enter__(self) -> "ArchiveWriter":
        self._file = OutputFile(self._path, overwrite=self._overwrite)
        try:
            record = zip_records.mimetype_record()
            self._file.write(zip_records.local_header(record) + zip_records.MIMETYPE)
            self._append(record, hashlib.sha256(zip_records.MIMETYPE).hexdigest(), None)
        except BaseException:
            self._file.discard()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                if not self._finished:
                    raise SharkpackError(f"{self._path}: left without a manifest, so nothing is written")
                self._file.write(zip_records.directory(self._records))
                self._file.publish()
        finally:
            self._file.discard()

    def add(self, path: str, data: bytes, compress: bool = False) -> None:
        """Add a whole member; with `compress`, which goes with a name in `.zst` and no other, as one zstd frame."""
        if compress:
            self.add_compressed(path, Compressed.of(data))
            return
        if path.endswith(".zst"):
            raise _misnamed(path)
        with self._open(path, len(data), None) as out:
            out.write(data)

    def add_compressed(self, path: str, data: Compressed) -> None:
        """Add a whole member, whose name ends in `.zst`, that is compressed already."""
        if not path.endswith(".zst"):
            raise _misnamed(path)
        if data.content_size > MAX_CONTENT_BYTES:
            raise SharkpackError(f"member {path!r}: {data.content_size} bytes; at most {MAX_CONTENT_BYTES} are allowed")
        with self._open(path, len(data.frame), data.content_size) as out:
            out.write(data.frame)

    @contextlib.contextmanager
    def open_member(self, path: str, size: int) -> Iterator[MemberWriter]:
        """Stream a member: the block must write exactly `size` bytes. Checks first that the disk has room for them."""
        if path.endswith(".zst"):
            raise SharkpackError(f"member {path!r}: '*.zst' members are added whole, with compress")
        with self._open(path, size, None) as out:
            yield out

    def finish(self, manifest: bytes) -> None:
        """Add the manifest, which must list `members`. Only signatures can be added afterwards."""
        if len(manifest) > MAX_MANIFEST_BYTES:
            raise SharkpackError(f"the manifest has {len(manifest)} bytes; at most {MAX_MANIFEST_BYTES} are allowed")
        if list(Manifest.from_json(manifest).members) != self._members:
            raise SharkpackError("the manifest does not list the members that were added, in their order")
        with self._open(MANIFEST_PATH, len(manifest), None) as out:
            out.write(manifest)
        self._finished = True

    def add_signature(self, name: str, data: bytes) -> None:
        """Add a detached signature of the manifest's bytes, after `finish` and in the order of names."""
        path = f"{SIGNATURES}{name}"
        if not self._finished:
            raise SharkpackError(f"signature {path!r} comes before the manifest, which it signs")
        earlier = [(record.path, record.size) for record in self._records if record.path.startswith(SIGNATURES)]
        check_signatures([*earlier, (path, len(data))])
        with self._open(path, len(data), None) as out:
            out.write(data)

    @property
    def _end(self) -> int:
        return self._records[-1].end if self._records else 0

    @contextlib.contextmanager
    def _open(self, path: str, size: int, content_size: int | None) -> Iterator[MemberWriter]:
        self._check_new(path)
        header = zip_records.local_header(self._record(path, 0, size))
        self._file.check_space(len(header) + size)
        self._file.write(header)
        with ThreadPoolExecutor(max_workers=1) as hasher:
            out = MemberWriter(self._file.write, path, size, hasher)
            yield out
            out.complete()
        if out.written != size:
            raise SharkpackError(f"member {path!r} was announced with {size} bytes and got {out.written}")
        record = self._record(path, out.crc32, size)
        self._file.overwrite_at(record.crc32_offset, record.crc32.to_bytes(4, "little"))
        self._append(record, out.sha256.hexdigest(), content_size)

    def _check_new(self, path: str) -> None:
        check_member_path(path)
        check_distinct([*(record.path for record in self._records), path])
        if self._finished != path.startswith(SIGNATURES):
            place = "after the manifest, which only signatures do" if self._finished else "before what it signs"
            raise SharkpackError(f"member {path!r} comes {place}")
        if len(self._records) >= zip_records.MAX_MEMBERS - (path != MANIFEST_PATH):
            raise SharkpackError(f"member {path!r} is one too many; at most {zip_records.MAX_MEMBERS} are allowed")

    def _record(self, path: str, crc32: int, size: int) -> zip_records.Record:
        return zip_records.Record(path=path, crc32=crc32, size=size, header_offset=self._end, dos_time=self._dos_time)

    def _append(self, record: zip_records.Record, sha256: str, content_size: int | None) -> None:
        self._records.append(record)
        if record.path != MANIFEST_PATH and not self._finished:
            self._members.append(
                Member(
                    path=record.path,
                    offset=record.data_offset,
                    size=record.size,
                    sha256=sha256,
                    content_size=content_size,
                )
            )


def _misnamed(path: str) -> SharkpackError:
    return SharkpackError(f"member {path!r}: the members named '*.zst' are compressed, and no others")


def _dos_time(source_date_epoch: str | None) -> int:
    """The ZIP time stamp (date << 16 | time, UTC) of SOURCE_DATE_EPOCH, held to what ZIP can say: 1980 to 2107."""
    if source_date_epoch is None:
        return zip_records.DOS_EPOCH
    try:
        year, month, day, hour, minute, second = time.gmtime(int(source_date_epoch))[:6]
    except (ValueError, OverflowError, OSError) as error:
        raise SharkpackError(f"SOURCE_DATE_EPOCH is {source_date_epoch!r}, not a number of seconds") from error
    if not 1980 <= year <= 2107:
        raise SharkpackError(f"SOURCE_DATE_EPOCH is in {year}; an archive can carry the years 1980 to 2107")
    return (year - 1980) << 25 | month << 21 | day << 16 | hour << 11 | minute << 5 | second // 2
