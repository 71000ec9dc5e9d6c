"""Reading an archive that anyone may have made: mapped once, checked before use, handed out without copies.

Knows members and the manifest; not what parameters or programs mean.
"""

import contextlib
import hashlib
import mmap
import os
import re
import stat
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType

import zstandard

from sharkpack.formats.archive import zip_records
from sharkpack.formats.archive.detached_signatures import check_signatures
from sharkpack.formats.archive.manifest import MANIFEST_PATH, MAX_MANIFEST_BYTES, SIGNATURES, Manifest, Member
from sharkpack.formats.errors import BundleDamagedError, BundleError, SharkpackError
from sharkpack.formats.io.file_kind import START_BYTES, describe_file, describe_start, explain_missing
from sharkpack.formats.io.one_line import one_line
from sharkpack.formats.model_files.irpa import read_irpa_index

_CHUNK = 1 << 20
_MAX_WINDOW = 1 << 27
_PROGRAM = re.compile(r".+\.(mlir|py(:.*)?)")


class Archive:
    """An opened bundle. Opening checks the structure and reads the manifest; hashes are checked by `read` and `verify`.

    Views stay valid after `close`, which then leaves the mapping to the last of them.
    """

    def __init__(
        self, path: Path, mapping: mmap.mmap, manifest: Manifest, records: Sequence[zip_records.Record]
    ) -> None:
        self.path = path
        self.mmap = mapping
        self.size = len(mapping)
        self.manifest = manifest
        self.members: Mapping[str, Member] = MappingProxyType({member.path: member for member in manifest.members})
        self.records = tuple(records)
        self._records = {record.path: record for record in records}

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "Archive":
        """Map `path` and check it; raise BundleError, one sentence that names `path`, if anything is wrong."""
        mapping = _map(Path(path))
        try:
            with memoryview(mapping) as view:
                _check_start(view)
                records = zip_records.read_directory(view)
                manifest = _read_manifest(view, records)
        except SharkpackError as error:
            with contextlib.suppress(BufferError):  # the traceback may still hold views
                mapping.close()
            raise _kind_of(error)(f"{path}: {one_line(str(error))}") from error
        return cls(Path(path), mapping, manifest, records)

    def close(self) -> None:
        """Let go of the file; a no-op as long as views of it are in use, since they keep it mapped."""
        with contextlib.suppress(BufferError):
            self.mmap.close()

    def __enter__(self) -> "Archive":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def member(self, path: str) -> Member:
        """Returns the manifest's entry for a member; SharkpackError if there is none of that name."""
        try:
            return self.members[path]
        except KeyError:
            raise BundleDamagedError(f"{self.path}: no member {path!r}") from None

    def file_offset(self, path: str) -> int:
        """Returns the offset of a member's data in the file, in bytes."""
        return self.member(path).offset

    def view(self, path: str) -> memoryview:
        """A member's bytes as they lie in the file: read-only, not copied, not verified."""
        member = self.member(path)
        if self.mmap.closed:
            raise BundleError(f"{self.path}: it has been closed: open it again")
        return memoryview(self.mmap)[member.offset : member.offset + member.size]

    def read(self, path: str) -> bytes:
        """A member's content: decompressed if it is a `.zst`, its SHA-256 verified first."""
        member = self.member(path)
        with self.view(path) as view:
            if hashlib.sha256(view).hexdigest() != member.sha256:
                raise BundleDamagedError(
                    f"{self.path}: member {path!r} is damaged: its SHA-256 differs; get the file again"
                )
            content = bytes(view) if member.content_size is None else self._decompress(member, view)
        self._forget(member)
        return content

    @property
    def signatures(self) -> tuple[str, ...]:
        """Names of the detached signatures, which follow the manifest."""
        return tuple(each.path.removeprefix(SIGNATURES) for each in self.records if each.path.startswith(SIGNATURES))

    def signature(self, name: str) -> bytes:
        """A detached signature, whose CRC-32 is checked; what it says, and of whom, is for others to judge."""
        if name not in self.signatures:
            raise SharkpackError(f"{self.path}: no signature {name!r}")
        return self._checked(f"{SIGNATURES}{name}")

    def signed_bytes(self) -> bytes:
        """Returns what a signature signs: the manifest as it lies in the file, with the hash of every other member."""
        return self._checked(MANIFEST_PATH)

    def _checked(self, path: str) -> bytes:
        if self.mmap.closed:
            raise SharkpackError(f"{self.path}: it has been closed: open it again")
        record = self._records[path]
        data = self.mmap[record.data_offset : record.end]
        if zlib.crc32(data) != record.crc32:
            raise BundleDamagedError(f"{self.path}: member {path!r} is damaged: its CRC-32 differs; get the file again")
        return data

    def _forget(self, member: Member) -> None:
        """Unmap the pages of what was copied: they count as the process's memory until they are read again."""
        if hasattr(mmap, "MADV_DONTNEED") and member.offset % mmap.PAGESIZE == 0:
            self.mmap.madvise(mmap.MADV_DONTNEED, member.offset, member.size)

    def verify(self, progress: Callable[[int], None] | None = None) -> None:
        """Read everything: hashes of all members, contents of compressed ones, tensor bounds of parameter files.

        `progress` is called with the number of bytes hashed since the last call. Raises SharkpackError at a fault.
        """
        for member in self.members.values():
            with self.view(member.path) as view:
                self._verify_hashes(member, view, progress or (lambda _: None))
                if member.content_size is not None:
                    self._decompress(member, view)
        for name in self.signatures:
            self.signature(name)
        for parameters in self.manifest.parameters:
            self.parameter_index(parameters.path)

    def parameter_index(self, path: str) -> dict[str, tuple[int, int]]:
        """Map the tensors of a parameter member to (offset in the file, nbytes), or raise SharkpackError."""
        base = self.file_offset(path)
        with self.view(path) as view:
            try:
                index = read_irpa_index(view)
            except SharkpackError as error:
                raise BundleDamagedError(f"{self.path}: {path}: {one_line(str(error))}") from error
        return {name: (base + offset, nbytes) for name, (offset, nbytes) in index.items()}

    def _verify_hashes(self, member: Member, view: memoryview, progress: Callable[[int], None]) -> None:
        sha256, crc32 = hashlib.sha256(), 0
        for start in range(0, len(view), _CHUNK):
            piece = view[start : start + _CHUNK]
            sha256.update(piece)
            crc32 = zlib.crc32(piece, crc32)
            progress(len(piece))
        if sha256.hexdigest() != member.sha256 or crc32 != self._records[member.path].crc32:
            raise BundleDamagedError(
                f"{self.path}: member {member.path!r} is damaged: its hash differs; get the file again"
            )

    def _decompress(self, member: Member, view: memoryview) -> bytes:
        fault = f"{self.path}: member {member.path!r} is not one zstd frame of {member.content_size} bytes"
        try:
            # The declared size, which the manifest caps, has to be the frame's own: the decoder allocates no more.
            if zstandard.get_frame_parameters(view).content_size != member.content_size:
                raise BundleDamagedError(fault)
            decoder = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
            return decoder.decompress(view, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise BundleDamagedError(f"{fault}: {error}") from error


def _kind_of(error: SharkpackError) -> type[BundleError]:
    """The class of an error met while reading: what does not say otherwise is damage."""
    return type(error) if isinstance(error, BundleError) else BundleDamagedError


def _map(path: Path) -> mmap.mmap:
    if _PROGRAM.fullmatch(path.name):
        raise BundleError(f"{path} is a program, not a sharkpack bundle; make a bundle of it with 'sharkpack build'")
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise BundleError(f"{path}: not a sharkpack bundle but {describe_file(path)}")
        if not stat.S_ISREG(status.st_mode):  # before opening: that of a pipe would wait for its other end
            raise BundleError(f"{path} is not a regular file; a bundle is mapped, which needs one")
        if status.st_size == 0:
            raise BundleError(f"{path} is empty; get or build the bundle again")
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError as error:
        raise BundleError(f"{path}: cannot open: {explain_missing(path)}") from error
    except OSError as error:
        raise BundleError(f"{path}: cannot open: {error.strerror or error}") from error
    except ValueError as error:  # a NUL in the path
        raise BundleError(f"{str(path)!r}: cannot open: {error}") from error


def _check_start(view: memoryview) -> None:
    expected = zip_records.local_header(zip_records.mimetype_record()) + zip_records.MIMETYPE
    start = bytes(view[: len(expected)])
    if start == expected:
        return
    if expected.startswith(start):
        raise BundleDamagedError(f"the file is cut short: {len(view)} bytes; get or build it again")
    hint = "; make a bundle of it with 'sharkpack build'" if start[:4] == b"GGUF" else ""
    raise BundleError(f"not a sharkpack bundle but {_other_file(bytes(view[:START_BYTES]), len(view))}{hint}")


def _other_file(start: bytes, size: int) -> str:
    found = describe_start(start, size) or f"something that starts with {start[:4]!r}"
    return "some other ZIP archive" if start.startswith(b"PK") and "pickle" not in found else found


def _read_manifest(view: memoryview, records: list[zip_records.Record]) -> Manifest:
    listed = next((index for index, record in enumerate(records) if record.path == MANIFEST_PATH), len(records) - 1)
    last = records[listed]
    if last.path != MANIFEST_PATH:
        raise BundleDamagedError(f"the last member is {last.path!r}, not {MANIFEST_PATH!r}")
    check_signatures([(record.path, record.size) for record in records[listed + 1 :]])
    if last.size > MAX_MANIFEST_BYTES:
        raise BundleDamagedError(f"the manifest has {last.size} bytes; at most {MAX_MANIFEST_BYTES} are allowed")
    data = bytes(view[last.data_offset : last.end])
    if zlib.crc32(data) != last.crc32:
        raise BundleDamagedError("the manifest is damaged: its CRC-32 differs; get the file again")
    try:
        manifest = Manifest.from_json(data)
    except SharkpackError as error:
        raise _kind_of(error)(f"bad manifest: {error}") from error
    described = [(member.path, member.offset, member.size) for member in manifest.members]
    if described != [(record.path, record.data_offset, record.size) for record in records[:listed]]:
        raise BundleDamagedError("the manifest lists other members, offsets or sizes than the archive has")
    return manifest
