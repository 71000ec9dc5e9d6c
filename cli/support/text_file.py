"""Texts that commands are given: files, prompts and standard input, all UTF-8."""

import sys
from pathlib import Path

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.io.file_kind import START_BYTES, explain_missing, refuse_stand_in
from sharkpack.formats.io.text import decode_text, unix_line_ends


def read_text(path: Path) -> str:
    """The file as text, without a byte order mark and with LF as line ends; SharkpackError where it is none."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise SharkpackError(f"{path}: {explain_missing(path)}") from error
    except OSError as error:
        raise SharkpackError(f"{path}: cannot be read: {error.strerror}") from error
    refuse_stand_in(path, data[:START_BYTES])
    return unix_line_ends(decode_text(data, str(path)))


def read_prompt(argument: str) -> str:
    """The prompt as text; "-" reads standard input, with LF as line ends and less the one at its end."""
    if argument != "-":
        return decode_text(argument.encode("utf-8", errors="surrogateescape"), "the prompt")
    return unix_line_ends(decode_text(sys.stdin.buffer.read(), "standard input")).removesuffix("\n")
