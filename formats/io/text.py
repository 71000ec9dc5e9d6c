"""Text from bytes that someone else wrote: UTF-8, its byte order mark dropped, other encodings named."""

import codecs

from sharkpack.formats.errors import SharkpackError

_OTHER_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


def without_mark(data: bytes) -> bytes:
    """`data` without the byte order mark of UTF-8 that editors of Windows put first."""
    return data.removeprefix(codecs.BOM_UTF8)


def as_utf8(data: bytes, what: str) -> bytes:
    """`data` without a byte order mark; SharkpackError, which calls it `what`, for a mark of UTF-16 or UTF-32."""
    for mark, name in _OTHER_MARKS:
        if data.startswith(mark):
            raise SharkpackError(f"{what} is {name} text; convert it to UTF-8 first (iconv -f {name} -t UTF-8)")
    return without_mark(data)


def decode_text(data: bytes, what: str) -> str:
    """`data` as text, without a byte order mark. SharkpackError, which calls it `what`, for other encodings than UTF-8,
    for bytes that are none, and for NUL, which no text has."""
    try:
        text = as_utf8(data, what).decode("utf-8")
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise SharkpackError(
            f"{what} is not UTF-8 text: byte {error.start} is 0x{byte:02x}; convert it to UTF-8 first"
        ) from error
    zero = data.find(0)
    if zero >= 0:
        raise SharkpackError(f"{what} is not text: byte {zero} is NUL (0x00); is it UTF-16, or a binary file?")
    return text


def unix_line_ends(text: str) -> str:
    """`text` with the line ends of Windows (CR LF) as LF."""
    return text.replace("\r\n", "\n")
