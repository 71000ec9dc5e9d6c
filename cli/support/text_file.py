"""Texts that commands are given: files, prompts and standard input, all UTF-8."""

import sys
from pathlib import Path

from sharkpack.formats.errors import SharkpackError


def read_text(path: Path) -> str:
    """The file as text; SharkpackError where it is none."""
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise SharkpackError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SharkpackError(f"{path} is not UTF-8 text: byte {error.start} is not; convert it first") from error


def read_prompt(argument: str) -> str:
    """The prompt as text; "-" reads standard input, less one line end at its end."""
    if argument != "-":
        return utf8_text(argument.encode("utf-8", errors="surrogateescape"), "the prompt")
    text = utf8_text(sys.stdin.buffer.read(), "standard input")
    return text.removesuffix("\n").removesuffix("\r")


def utf8_text(data: bytes, what: str) -> str:
    """`data` decoded; SharkpackError that says `what` it is, and which byte is wrong."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SharkpackError(f"{what} is not UTF-8 text: byte {error.start} is 0x{data[error.start]:02x}") from error
