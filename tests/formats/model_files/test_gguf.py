"""The reader of GGUF against the format's own writer, reader and tables."""

import struct
from pathlib import Path

import gguf
import numpy as np
import pytest

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.model_files.ggml_types import FILE_TYPES, GGML_TYPES
from sharkpack.formats.model_files.gguf import GGUFFile
from tests.formats.gguf_bytes import build, entry, key_value


def test_every_type_of_value_is_read(written_gguf: Path) -> None:
    with GGUFFile.open(written_gguf) as file:
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
        assert file.size == written_gguf.stat().st_size


def test_tensors_are_where_the_formats_own_reader_finds_them(written_gguf: Path) -> None:
    with GGUFFile.open(written_gguf) as file:
        theirs = {tensor.name: tensor for tensor in gguf.GGUFReader(written_gguf).tensors}
        assert list(file.tensors) == list(theirs)
        for name, tensor in file.tensors.items():
            assert tensor.shape == (4, 64)
            assert tensor.type_name == theirs[name].tensor_type.name
            assert tensor.type_id == theirs[name].tensor_type.value
            assert tensor.offset == theirs[name].data_offset
            assert tensor.nbytes == theirs[name].n_bytes
            np.testing.assert_array_equal(file.raw(name), theirs[name].data.view(np.uint8).reshape(-1))


def test_raw_bytes_are_a_read_only_view_that_outlives_close_and_release(written_gguf: Path) -> None:
    with GGUFFile.open(written_gguf) as file:
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


def test_an_unknown_tensor_name_is_refused(written_gguf: Path) -> None:
    with GGUFFile.open(written_gguf) as file:
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
