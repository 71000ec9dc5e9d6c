"""GGUF files that are written: read back by our own reader and by the gguf package."""

from io import BytesIO
from pathlib import Path

import gguf
import numpy as np
import pytest

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.model_files.gguf import GGUFFile
from sharkpack.formats.model_files.gguf_values import MetadataValue
from sharkpack.formats.model_files.gguf_writer import TensorSpec, encode_value, plan_gguf
from sharkpack.formats.model_files.tensor_file import write_tensors

VALUES: dict[str, MetadataValue] = {
    "general.architecture": "llama",
    "llama.block_count": 2,
    "llama.rope.freq_base": 10000.0,
    "below": -7,
    "large": 1 << 40,
    "flag": True,
    "flags": [True, False],
    "tokens": ["a", "", "\u00e9"],
    "types": [1, 3, 6],
    "scores": [0.5, -1.5],
    "none": [],
}
TENSORS = {"a": ((3, 64), "Q8_0", 204), "b": ((5,), "F32", 20), "c": ((2, 3, 32), "F16", 384)}


def write(path: Path, values: dict[str, bytes]) -> dict[str, bytes]:
    """Write the tensors with random bytes, which are returned."""
    random = np.random.default_rng(0)
    data = {name: random.integers(0, 256, size, np.uint8).tobytes() for name, (_, _, size) in TENSORS.items()}
    specs = [TensorSpec(name=name, shape=shape, type_name=kind) for name, (shape, kind, _) in TENSORS.items()]
    plan = plan_gguf(values, specs)
    out = BytesIO()
    write_tensors(plan, out, data.items())
    assert len(out.getvalue()) == plan.total_size
    path.write_bytes(out.getvalue())
    return data


@pytest.mark.parametrize("alignment", [None, 256])
def test_what_is_written_is_read_back(tmp_path: Path, alignment: int | None) -> None:
    path = tmp_path / "made.gguf"
    values = VALUES if alignment is None else VALUES | {"general.alignment": alignment}
    data = write(path, {key: encode_value(value) for key, value in values.items()})
    with GGUFFile.open(path) as file:
        assert dict(file.metadata) == values
        assert {name: (each.shape, each.type_name, each.nbytes) for name, each in file.tensors.items()} == TENSORS
        assert all(each.offset % (alignment or 32) == 0 for each in file.tensors.values())
        assert {name: file.raw(name).tobytes() for name in TENSORS} == data
        assert {key: file.encoded(key) for key in values} == {key: encode_value(values[key]) for key in values}


def test_the_gguf_package_reads_the_same_with_the_types_that_ggml_expects(tmp_path: Path) -> None:
    path = tmp_path / "made.gguf"
    data = write(path, {key: encode_value(value) for key, value in VALUES.items()})
    reader = gguf.GGUFReader(path)
    assert {tensor.name: tensor.data.tobytes() for tensor in reader.tensors} == data
    kinds = {key: [kind.name for kind in reader.fields[key].types] for key in VALUES}
    assert kinds == {
        "general.architecture": ["STRING"],
        "llama.block_count": ["UINT32"],
        "llama.rope.freq_base": ["FLOAT32"],
        "below": ["INT32"],
        "large": ["INT64"],
        "flag": ["BOOL"],
        "flags": ["ARRAY", "BOOL"],
        "tokens": ["ARRAY", "STRING"],
        "types": ["ARRAY", "INT32"],
        "scores": ["ARRAY", "FLOAT32"],
        "none": ["ARRAY"],
    }


def test_what_has_no_place_in_the_format_is_refused() -> None:
    one = TensorSpec(name="a", shape=(2, 32), type_name="Q8_0")
    with pytest.raises(SharkpackError, match="two tensors of a GGUF file cannot have one name"):
        plan_gguf({}, [one, one])
    with pytest.raises(SharkpackError, match=r"tensor name 'x+' has 64 bytes; GGUF allows 1 to 63"):
        plan_gguf({}, [TensorSpec(name="x" * 64, shape=(1,), type_name="F32")])
    with pytest.raises(SharkpackError, match=r"a tensor 'a' of Q8_0 \[2, 33\] has no place in GGUF"):
        plan_gguf({}, [TensorSpec(name="a", shape=(2, 33), type_name="Q8_0")])
    with pytest.raises(SharkpackError, match=r"metadata key '' has 0 bytes"):
        plan_gguf({"": encode_value(1)}, [])
