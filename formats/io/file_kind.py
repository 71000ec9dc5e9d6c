"""Recognises a file that was taken for another: a pointer, a web page, an archive, a pickle, a download that broke off.

Looks at names and first bytes only. Says what to do; knows no format's inside.
"""

import os
from pathlib import Path

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.io.one_line import one_line
from sharkpack.formats.io.text import without_mark

START_BYTES = 1024
NO_SUCH_FILE = "no such file"
_SHOWN = 60
_TAR_MAGIC_AT = 257
_LFS = "a Git LFS pointer, not the file itself: run 'git lfs pull' in its folder, or download the file again"
_PICKLE = (
    "a PyTorch pickle, which can run any code when it is read and is never read here: save the model as safetensors "
    "(save_pretrained) or convert it to GGUF"
)
_UNPACK = "unpack it first"

_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs.github.com/", _LFS),
    (b"version https://hawser.github.com/", _LFS),
    (b"version http://git-media.io/", _LFS),
    (b"/annex/objects/", "a git-annex pointer, not the file itself: run 'git annex get' on it"),
    (b"GGUF", "a GGUF file"),
    (b"IRPA", "an IREE parameter archive"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras, old TensorFlow): look for the model as safetensors or GGUF"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"ML\xefR", "MLIR bytecode"),
    (b"\x7fELF", "a program or library of this system (ELF)"),
    (b"\x1f\x8b", f"a gzip file: {_UNPACK}"),
    (b"\xfd7zXZ\x00", f"an xz file: {_UNPACK}"),
    (b"\x28\xb5\x2f\xfd", f"a zstd file: {_UNPACK}"),
    (b"BZh", f"a bzip2 file: {_UNPACK}"),
    (b"7z\xbc\xaf\x27\x1c", f"a 7z archive: {_UNPACK}"),
    (b"Rar!", f"a RAR archive: {_UNPACK}"),
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a picture (PNG)"),
    (b"\xff\xd8\xff", "a picture (JPEG)"),
    *((magic, "a GGML file from before GGUF: get the model as GGUF") for magic in (b"lmgg", b"fmgg", b"tjgg", b"algg")),
)
_POINTERS = tuple(magic for magic, found in _BEGINNINGS if "pointer" in found)
_WEB_PAGE = (b"<!doctype html", b"<html", b"<head", b"<?xml")
_UNFINISHED = (".part", ".partial", ".incomplete", ".crdownload", ".download", ".aria2", ".tmp")
"""What downloaders put after the name of a file that is not whole yet."""


def wrong_file(path: Path, expected: str, problem: str) -> SharkpackError:
    """The error for a file that is not `expected`: it says what the file is where that can be told, else `problem`."""
    found = describe_file(path)
    if found is None:
        return SharkpackError(f"{path}: not {expected} ({one_line(problem)})")
    return SharkpackError(f"{path}: not {expected} but {found}")


def describe_file(path: Path) -> str | None:
    """Returns the kind of the file or folder at `path` and what to do about it, as the end of a sentence; or None."""
    if path.is_dir():
        return f"a folder{_inside(path)}"
    try:
        with path.open("rb") as file:
            start, size = file.read(START_BYTES), os.fstat(file.fileno()).st_size
    except OSError:
        return None
    if path.suffix.lower() in _UNFINISHED:
        return f"a download that is not finished ({path.suffix}): finish it, or download the file again"
    return describe_start(start, size)


def describe_start(start: bytes, size: int, *, text: bool = True) -> str | None:
    """The same of a file of `size` bytes that begins with `start`; with `text` False, any text counts as not known."""
    if not size:
        return "an empty file: download it again"
    for magic, found in _BEGINNINGS:
        if start.startswith(magic):
            return found
    if not any(start):
        return "a file that begins with zeros only, a download that broke off: download it again"
    if start.startswith(b"PK\x03\x04"):
        return _zip(start)
    if start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return _PICKLE
    if start[_TAR_MAGIC_AT : _TAR_MAGIC_AT + 5] == b"ustar":
        return f"a tar archive: {_UNPACK}"
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 1 << 40:
        return "a safetensors file"
    if _is_web_page(start):
        return "a web page (HTML) that was saved in its place: download the file itself, or name it as hf:owner/name"
    return _text(start) if text else None


def refuse_stand_in(path: Path, start: bytes) -> None:
    """Raise SharkpackError where what begins with `start` only stands for the file: a pointer to it, or a web page."""
    if start.startswith(_POINTERS) or _is_web_page(start):
        raise SharkpackError(f"{path}: {describe_start(start, len(start))}")


def explain_missing(path: Path) -> str:
    """Why there is no file at `path`, with what to do, where its surroundings tell; "no such file" otherwise."""
    if path.is_symlink():
        return f"a link to {path.readlink()}, which is not there: download it again (git annex get, hf download)"
    for suffix in _UNFINISHED:
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            return f"no such file, but {beside.name}, a download that is not finished: finish it, or download it again"
    return NO_SUCH_FILE


def _is_web_page(start: bytes) -> bool:
    return without_mark(start[:START_BYTES]).lstrip()[:16].lower().startswith(_WEB_PAGE)


def _inside(folder: Path) -> str:
    """Returns the file in it that may be meant."""
    for pattern in ("*.gguf", "*.shark"):
        names = sorted(path.name for path in folder.glob(pattern))
        if names:
            return f": name the file in it, such as {folder / names[0]}"
    return ": name a file"


def _zip(start: bytes) -> str:
    name = start[30 : 30 + int.from_bytes(start[26:28], "little")]
    if name == b"mimetype" and b"vnd.shark" in start:
        return "a .shark file, which is packed already: run it with 'sharkpack run'"
    if name.endswith((b"/data.pkl", b"/version", b"/.format_version", b"/byteorder")):
        return _PICKLE
    if start[30:].startswith(b"[Content_Types].xml"):
        return "an office document"
    return f"a ZIP archive: {_UNPACK}"


def _text(start: bytes) -> str | None:
    """Returns the text that it begins with, where that is readable."""
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16 text"
    try:
        text = start.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(start) - 3:
            return None
        text = start[: error.start].decode("utf-8")
    line = text.strip().partition("\n")[0].strip()
    if not line or not line.isprintable():
        return None
    shown = line if len(line) <= _SHOWN else f"{line[:_SHOWN]}..."
    return f"a text file that begins with '{shown}': download the file again"
