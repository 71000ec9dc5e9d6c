"""GGUF files that are cut short, lie about their sizes, or break a rule of the format: each is refused in one line."""

import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.model_files.gguf import GGUFFile
from tests.formats.gguf_bytes import build, entry, key_value, string


@pytest.fixture
def refusal(tmp_path: Path) -> Callable[[bytes], str]:
    """The message that refuses these bytes, without the path."""

    def refuse(data: bytes) -> str:
        path = tmp_path / "model.gguf"
        path.write_bytes(data)
        with pytest.raises(SharkpackError) as caught:
            GGUFFile.open(path)
        message = str(caught.value)
        assert message.startswith(f"{path}: ")
        assert "\n" not in message
        return message.removeprefix(f"{path}: ")

    return refuse


def test_a_file_cut_short_anywhere_is_refused(written_gguf: Path, refusal: Callable[[bytes], str]) -> None:
    with GGUFFile.open(written_gguf) as file:
        end = max(tensor.offset + tensor.nbytes for tensor in file.tensors.values())
    data = written_gguf.read_bytes()
    for length in [*range(0, 1400, 7), *range(1400, end, 61), end - 1]:
        message = refusal(data[:length])
        assert "not a GGUF file" in message or "cut short" in message, message


def test_garbage_in_the_header_never_escapes_as_another_error(written_gguf: Path, tmp_path: Path) -> None:
    data = written_gguf.read_bytes()
    random = np.random.default_rng(0)
    path = tmp_path / "garbage.gguf"
    for position in range(0, 1400, 3):
        changed = bytearray(data)
        changed[position : position + 8] = random.bytes(8)
        path.write_bytes(changed)
        with suppress(SharkpackError):
            GGUFFile.open(path).close()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is cut short: it is empty; download it again"),
        (b"PK\3\4" + bytes(40), "not a GGUF file but a ZIP archive: unpack it first"),
        (build(version=1), "GGUF version 1; versions 2 and 3 can be read: convert it again"),
        (build(version=4), "GGUF version 4; versions 2 and 3 can be read: convert it again"),
        (
            b"GGUF" + struct.pack(">IQQ", 3, 0, 0),
            "a big-endian GGUF file; only little-endian ones can be read: convert it again",
        ),
    ],
)
def test_another_kind_of_file_is_named(data: bytes, message: str, refusal: Callable[[bytes], str]) -> None:
    assert refusal(data) == message


@pytest.mark.parametrize(
    "data",
    [
        b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 2**60) + bytes(32),
        build([key_value("a", 9, struct.pack("<IQ", 4, 2**60))]),
        build([key_value("a", 9, struct.pack("<IQ", 8, 2**60))]),
        build([key_value("a", 8, struct.pack("<Q", 2**64 - 1))]),
        build([key_value("a", 9, struct.pack("<IQQ", 8, 1, 2**60))]),
        build([key_value("a", 9, struct.pack("<IQQ", 8, 1, 2**64 - 1))]),
        build([], [entry("x", (2**60,))]),
        build([], [entry("x", (2**40, 2**40, 2**40, 2**40))]),
        build([], [entry("x", offset=2**60)], bytes(128)),
        build([], [entry("x")], bytes(127)),
    ],
)
def test_sizes_past_the_end_are_refused_without_being_believed(data: bytes, refusal: Callable[[bytes], str]) -> None:
    message = refusal(data)
    assert "cut short" in message or "at most 65535 are allowed" in message


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (build([key_value("a", 4, bytes(4))] * 2), "the metadata key 'a' appears twice"),
        (build([key_value("", 4, bytes(4))]), "the name of metadata key 0 is empty"),
        (build([], [entry("x"), entry("x", offset=128)], bytes(256)), "two tensors are named 'x'"),
        (build([], [entry("x"), entry("y", offset=96)], bytes(256)), "the tensors 'x' and 'y' overlap"),
        (
            build([], [entry("x", offset=8)], bytes(256)),
            "tensor 'x' lies at offset 8, which is not a multiple of the alignment 32",
        ),
        (
            build([], [entry("x", type_id=99)], bytes(256)),
            "tensor 'x' has tensor type 99, which is not a GGML type known here",
        ),
        (
            build([], [entry("x", (33, 2), type_id=3)], bytes(256)),
            "tensor 'x' has shape (2, 33), whose rows are not whole Q4_1 blocks of 32",
        ),
        (
            build([], [entry("x", (32, 0))], bytes(256)),
            "tensor 'x' has shape (0, 32), whose rows are not whole F32 blocks of 1",
        ),
        (build([], [entry("x", (1,) * 5)], bytes(256)), "tensor 'x' has 5 dimensions; at most 4 are allowed"),
        (build([key_value("a\n", 4, bytes(4))] * 2), "the metadata key 'a\\n' appears twice"),
        (build([key_value("a", 13, bytes(8))]), "'a' has value type 13, which GGUF does not define"),
        (
            build([key_value("a", 9, struct.pack("<IQ", 9, 1) + bytes(16))]),
            "'a' is an array of value type 9, which is not supported",
        ),
        (build([key_value("a", 7, b"\2")]), "'a' is a boolean with the value 2; expected 0 or 1"),
        (
            build([key_value("a", 9, struct.pack("<IQ", 7, 2) + b"\1\2")]),
            "'a' is a boolean with the value 2; expected 0 or 1",
        ),
        (build([key_value("a", 8, string(b"\xff"))]), "the value of 'a' is not valid UTF-8 (byte 45 of the file)"),
        (
            build([key_value("a", 9, struct.pack("<IQ", 8, 2) + string("b") + string(b"\xff"))]),
            "item 1 of the array 'a' is not valid UTF-8",
        ),
        (
            build([key_value("general.alignment", 4, struct.pack("<I", 33))]),
            "general.alignment is 33; expected a power of two",
        ),
        (
            build([key_value("general.alignment", 8, string("32"))]),
            "general.alignment is '32'; expected a power of two",
        ),
    ],
)
def test_an_ill_formed_header_is_refused(data: bytes, message: str, refusal: Callable[[bytes], str]) -> None:
    assert refusal(data) == message


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SharkpackError, match="cannot be read: No such file or directory"):
        GGUFFile.open(tmp_path / "absent.gguf")
    with pytest.raises(SharkpackError, match="a folder: name a file"):
        GGUFFile.open(tmp_path)
