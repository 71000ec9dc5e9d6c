"""The wire format: every kind of field, and messages that end too early."""

import struct

import pytest

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.model_files.protobuf import read_fields
from tests.sentencepiece_files import number, text, varint

MESSAGE = number(1, 300) + text(2, b"ab") + varint(3 << 3 | 5) + struct.pack("<f", 0.5) + varint(4 << 3 | 1) + bytes(8)


def test_fields_come_in_order() -> None:
    assert list(read_fields(MESSAGE)) == [(1, 300), (2, b"ab"), (3, 0.5), (4, bytes(8))]
    assert list(read_fields(b"")) == []
    assert list(read_fields(number(1, 2**64 - 1))) == [(1, 2**64 - 1)]


@pytest.mark.parametrize("end", [1, 2, 4, 5, 6, 8, 11, 13, len(MESSAGE) - 1])
def test_a_message_cut_short_is_refused(end: int) -> None:
    with pytest.raises(SharkpackError, match="not a Protocol Buffers message"):
        list(read_fields(MESSAGE[:end]))


@pytest.mark.parametrize("data", [b"\xff" * 12, b"\x0b", b"\x0c", b"\x02\x00", b"{}"])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(SharkpackError, match="not a Protocol Buffers message"):
        list(read_fields(data))
