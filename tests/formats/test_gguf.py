import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import gguf
import numpy as np
import pytest

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.ggml_types import FILE_TYPES, GGML_TYPES
from sharkpack.formats.gguf import GGUFFile


def string(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(data)) + data


def key_value(key: str, type_id: int, data: bytes) -> bytes:
    return string(key) + struct.pack("<I", type_id) + data


def entry(name: str, shape: Sequence[int] = (32,), type_id: int = 0, offset: int = 0) -> bytes:
    return string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, type_id, offset)


def build(
    values: Sequence[bytes] = (),
    tensors: Sequence[bytes] = (),
    data: bytes = b"",
    *,
    magic: bytes = b"GGUF",
    version: int = 3,
    alignment: int = 32,
) -> bytes:
    header = magic + struct.pack("<IQQ", version, len(tensors), len(values)) + b"".join([*values, *tensors])
    return header + bytes(-len(header) % alignment) + data


@pytest.fixture
def refusal(tmp_path: Path) -> Callable[[bytes], str]:
    """What opening these bytes is refused with, without the path."""

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


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A file from the format's own writer, with a value of every type and tensors of four types."""
    path = tmp_path / "written.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_uint8("u8", 200)
    writer.add_int8("i8", -2)
    writer.add_uint16("u16", 60000)
    writer.add_int16("i16", -3)
    writer.add_uint32("u32", 2**32 - 1)
    writer.add_int32("i32", -4)
    writer.add_float32("f32", 0.5)
    writer.add_bool("yes", True)
    writer.add_bool("no", False)
    writer.add_string("text", "naïve")
    writer.add_uint64("u64", 2**64 - 1)
    writer.add_int64("i64", -(2**63))
    writer.add_float64("f64", 0.1)
    writer.add_array("texts", ["a", "", "日本"])
    writer.add_array("integers", [1, 2, 3])
    writer.add_array("numbers", [0.5, -1.5])
    writer.add_array("flags", [True, False])
    numbers = np.random.default_rng(0).standard_normal((4, 64), np.float32)
    writer.add_tensor("f32", numbers)
    writer.add_tensor("f16", numbers.astype(np.float16))
    for kind in (gguf.GGMLQuantizationType.Q4_1, gguf.GGMLQuantizationType.Q8_0):
        writer.add_tensor(kind.name, gguf.quants.quantize(numbers, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_every_type_of_value_is_read(written: Path) -> None:
    with GGUFFile.open(written) as file:
        assert dict(file.metadata) == {
            "general.architecture": "llama",
            "u8": 200,
            "i8": -2,
            "u16": 60000,
            "i16": -3,
            "u32": 2**32 - 1,
            "i32": -4,
            "f32": 0.5,
            "yes": True,
            "no": False,
            "text": "naïve",
            "u64": 2**64 - 1,
            "i64": -(2**63),
            "f64": 0.1,
            "texts": ["a", "", "日本"],
            "integers": [1, 2, 3],
            "numbers": [0.5, -1.5],
            "flags": [True, False],
        }
        assert file.metadata["yes"] is True
        assert file.size == written.stat().st_size


def test_tensors_are_where_the_formats_own_reader_finds_them(written: Path) -> None:
    with GGUFFile.open(written) as file:
        theirs = {tensor.name: tensor for tensor in gguf.GGUFReader(written).tensors}
        assert list(file.tensors) == list(theirs)
        for name, tensor in file.tensors.items():
            assert tensor.shape == (4, 64)
            assert tensor.type_name == theirs[name].tensor_type.name
            assert tensor.type_id == theirs[name].tensor_type.value
            assert tensor.offset == theirs[name].data_offset
            assert tensor.nbytes == theirs[name].n_bytes
            np.testing.assert_array_equal(file.raw(name), theirs[name].data.view(np.uint8).reshape(-1))


def test_raw_bytes_are_a_read_only_view_that_outlives_close_and_release(written: Path) -> None:
    with GGUFFile.open(written) as file:
        view = file.raw("Q8_0")
        before = view.copy()
        assert not view.flags.writeable
        assert not view.flags.owndata
        file.release("Q8_0")
    np.testing.assert_array_equal(view, before)


def test_release_of_many_pages_leaves_their_contents(tmp_path: Path) -> None:
    data = np.arange(2**18, dtype=np.float32)
    path = tmp_path / "large.gguf"
    path.write_bytes(build([], [entry("x", (2**18,))], data.tobytes()))
    with GGUFFile.open(path) as file:
        np.testing.assert_array_equal(file.raw("x").view(np.float32), data)
        file.release("x")
        np.testing.assert_array_equal(file.raw("x").view(np.float32), data)


def test_an_unknown_tensor_name_is_refused(written: Path) -> None:
    with GGUFFile.open(written) as file:
        with pytest.raises(SharkpackError, match="no tensor is named 'absent'"):
            file.raw("absent")
        with pytest.raises(SharkpackError, match="no tensor is named 'absent'"):
            file.release("absent")


def test_types_have_the_sizes_that_the_formats_own_table_has() -> None:
    theirs = {kind.value: (kind.name, *gguf.GGML_QUANT_SIZES[kind]) for kind in gguf.GGMLQuantizationType}
    for ggml_id, kind in GGML_TYPES.items():
        if ggml_id in theirs:  # an older table of theirs lacks the newest types
            assert theirs[ggml_id] == (kind.name, kind.block, kind.block_bytes)
    assert theirs.keys() <= GGML_TYPES.keys()
    for file_type in gguf.LlamaFileType:
        if file_type.name != "GUESSED":
            assert FILE_TYPES[file_type.value] == file_type.name.removeprefix("MOSTLY_").removeprefix("ALL_")


def test_version_2_is_read(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(build([key_value("a", 4, struct.pack("<I", 7))], version=2))
    with GGUFFile.open(path) as file:
        assert dict(file.metadata) == {"a": 7}


def test_a_scalar_and_an_alignment_of_the_files_own(tmp_path: Path) -> None:
    alignment = key_value("general.alignment", 4, struct.pack("<I", 256))
    path = tmp_path / "model.gguf"
    path.write_bytes(build([alignment], [entry("s", ()), entry("t", (2,), offset=256)], bytes(264), alignment=256))
    with GGUFFile.open(path) as file:
        assert file.tensors["s"].shape == ()
        assert file.tensors["t"].offset == file.tensors["s"].offset + 256


def test_a_file_cut_short_anywhere_is_refused(written: Path, refusal: Callable[[bytes], str]) -> None:
    with GGUFFile.open(written) as file:
        end = max(tensor.offset + tensor.nbytes for tensor in file.tensors.values())
    data = written.read_bytes()
    for length in [*range(0, 1400, 7), *range(1400, end, 61), end - 1]:
        message = refusal(data[:length])
        assert "not a GGUF file" in message or "cut short" in message, message


def test_garbage_in_the_header_never_escapes_as_another_error(written: Path, tmp_path: Path) -> None:
    data = written.read_bytes()
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
        (b"PK\3\4" + bytes(40), "not a GGUF file (it begins with b'PK\\x03\\x04', not b'GGUF')"),
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
    with pytest.raises(SharkpackError, match="cannot be read: Is a directory"):
        GGUFFile.open(tmp_path)
