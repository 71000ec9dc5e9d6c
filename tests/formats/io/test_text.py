"""Bytes to text: marks dropped, other encodings and bytes that are no text named."""

import pytest

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.io.text import decode_text, unix_line_ends


def test_a_mark_is_no_part_of_the_text() -> None:
    assert decode_text("\ufeffé\r\n".encode(), "x") == "é\r\n"
    assert decode_text("a\ufeffb".encode(), "x") == "a\ufeffb"
    assert unix_line_ends("a\r\nb\n\rc\r\n") == "a\nb\n\rc\n"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("text".encode("utf-16"), "x is UTF-16 text; convert it to UTF-8 first"),
        ("text".encode("utf-16-be"), "x is not text: byte 0 is NUL"),
        (b"\xfe\xff\0a", "x is UTF-16 text"),
        ("text".encode("utf-32"), "x is UTF-32 text"),
        (b"caf\xe9", "x is not UTF-8 text: byte 3 is 0xe9"),
        (b"ab\0c", "x is not text: byte 2 is NUL"),
    ],
)
def test_what_is_no_text_is_named(data: bytes, message: str) -> None:
    with pytest.raises(SharkpackError) as caught:
        decode_text(data, "x")
    assert str(caught.value).startswith(message)
