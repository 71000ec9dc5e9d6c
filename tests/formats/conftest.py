"""Files that the tests of a format share."""

from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest

from sharkpack.formats.archive.reader import Archive


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[bytes], Archive]:
    def open_bytes(data: bytes) -> Archive:
        path = tmp_path / "evil.shark"
        path.write_bytes(data)
        return Archive.open(path)

    return open_bytes


@pytest.fixture
def written_gguf(tmp_path: Path) -> Path:
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
