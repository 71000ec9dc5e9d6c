"""The quantised view of a source: bytes, rows, errors, importances, and what is refused."""

import math
import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest

from sharkpack.bundler.quantize import QuantizeOptions
from sharkpack.bundler.sources import open_source
from sharkpack.bundler.sources.model import SourceModel
from sharkpack.bundler.sources.tensors import SourceTensor
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.quant import dequantize
from sharkpack.formats.quant.block import Floats
from sharkpack.formats.quantize import quantize
from tests.bundler.quantize.models import quantized_source, write_model
from tests.made_tensors import MadeTensor
from tests.tiny_models import write_tiny_gguf

MATRIX = "blk.0.ffn_up.weight"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("quantized"), "wide")


def write_dat(path: Path, entries: Mapping[str, Floats], calls: int = 4) -> Path:
    """An importance matrix in the older format, whose means will be `entries`."""
    data = struct.pack("<i", len(entries))
    for name, means in entries.items():
        data += struct.pack("<i", len(name)) + name.encode() + struct.pack("<ii", calls, means.size)
        data += (means * calls).astype("<f4").tobytes()
    path.write_bytes(data + struct.pack("<ii", calls, 4) + b"text")
    return path


def values_of(tensor: SourceTensor) -> Floats:
    return dequantize(tensor.type_name, tensor.read(), tensor.shape)


@pytest.mark.parametrize("scheme", ["q8_0", "q4_k", "q5_1", "bf16"])
def test_every_tensor_reads_as_its_new_type(path: Path, scheme: str) -> None:
    with open_source(str(path)) as source:
        view = quantized_source(source, QuantizeOptions(scheme=scheme)).model
        assert list(view.tensors) == list(source.tensors)
        for name, tensor in list(view.tensors.items())[:14]:
            values = values_of(source.tensors[name])
            expected = quantize(tensor.type_name, values.reshape(-1, tensor.shape[-1])).reshape(-1)
            assert np.array_equal(tensor.read(), expected)
            assert tensor.nbytes == expected.nbytes
            assert tensor.shape == values.shape


def test_rows_in_any_order_are_the_rows_of_the_whole(path: Path) -> None:
    with open_source(str(path)) as source:
        tensor = quantized_source(source, QuantizeOptions(scheme="q6_k")).model.tensor(MATRIX)
        whole = tensor.read().reshape(tensor.shape[0], -1)
        order = np.random.default_rng(0).permutation(tensor.shape[0])
        assert np.array_equal(tensor.rows(order), whole[order])
        assert np.array_equal(tensor.rows(slice(48, 64)), whole[48:64])


def test_the_description_is_of_the_quantised_model(path: Path) -> None:
    with open_source(str(path)) as source:
        view = quantized_source(source, QuantizeOptions(scheme="q4_k")).model
        assert (source.quantization, view.quantization) == ("F16", "Q4_K_M mixture")
        assert view.metadata["general.file_type"] == 15
        assert view.sha256() == source.sha256()
        assert quantized_source(source, QuantizeOptions(scheme="q4_k", pure=True)).model.quantization == "Q4_K"


def test_errors_are_those_of_what_was_read(path: Path) -> None:
    with open_source(str(path)) as source:
        quantized = quantized_source(source, QuantizeOptions(scheme="q8_0"))
        values, view = values_of(source.tensor(MATRIX)), quantized.model.tensor(MATRIX)
        error = next(each for each in quantized.report.tensors if each.name == MATRIX)
        assert (error.before, error.after, error.weighed, error.relative) == ("F16", "Q8_0", False, 0.0)
        expected = math.sqrt(np.square(values_of(view) - values).mean() / np.square(values).mean())
        assert error.relative == pytest.approx(expected, rel=1e-4)
        assert quantized.report.relative == pytest.approx(expected, rel=1e-4)


def test_tensors_that_are_of_the_type_already_are_read_as_they_are(tmp_path: Path) -> None:
    source_path = write_tiny_gguf(tmp_path / "tiny.gguf", "llama", "Q8_0")
    with open_source(str(source_path)) as source:
        quantized = quantized_source(source, QuantizeOptions(scheme="q8_0"))
        assert quantized.report.tensors == ()
        assert quantized.model.tensors == source.tensors


def test_quantising_twice_is_refused_unless_asked_for(tmp_path: Path) -> None:
    source_path = write_tiny_gguf(tmp_path / "tiny.gguf", "llama", "Q8_0")
    with open_source(str(source_path)) as source:
        with pytest.raises(SharkpackError) as caught:
            quantized_source(source, QuantizeOptions(scheme="q4_0", pure=True))
        assert str(caught.value) == (
            f"{source_path}: tensor 'token_embd.weight' is Q8_0 already, and quantising it to Q4_0 adds one error to "
            "another; start from an F32, F16 or BF16 model, or insist with --requantize"
        )
        again = quantized_source(source, QuantizeOptions(scheme="q4_0", pure=True, requantize=True))
        assert again.model.tensor(MATRIX).type_name == "Q4_0"
        exact = quantized_source(source, QuantizeOptions(scheme="f32")).model
        assert np.array_equal(values_of(exact.tensor(MATRIX)), values_of(source.tensor(MATRIX)))


def test_an_importance_weighs_its_tensors(path: Path, tmp_path: Path) -> None:
    means = np.random.default_rng(0).uniform(0, 5, 256).astype(np.float32)
    imatrix = write_dat(tmp_path / "imatrix.dat", {MATRIX: means, "of.another.part": means})
    with open_source(str(path)) as source:
        quantized = quantized_source(source, QuantizeOptions(scheme="q4_k", imatrix=imatrix))
        expected = quantize("Q4_K", values_of(source.tensor(MATRIX)), means)
        assert np.array_equal(quantized.model.tensor(MATRIX).read(), expected.reshape(-1))
        quantized.model.tensor("blk.0.ffn_gate.weight").read()
        assert {error.name for error in quantized.report.tensors if error.weighed} == {MATRIX}


def test_each_expert_has_an_importance_of_its_own(path: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(3, 40, 64)).astype(np.float16)
    means = random.uniform(0, 5, (3, 64)).astype(np.float32)
    name = "blk.0.ffn_up_exps.weight"
    imatrix = write_dat(tmp_path / "imatrix.dat", {name: means.reshape(-1)})
    with open_source(str(path)) as source:
        tensor = MadeTensor(name, "F16", values)
        with_experts: SourceModel = replace(source, tensors={name: tensor})
        view = quantized_source(with_experts, QuantizeOptions(scheme="q4_0", imatrix=imatrix)).model.tensor(name)
        each = [quantize("Q4_0", values[e].astype(np.float32), means[e]) for e in range(3)]
        assert np.array_equal(view.read(), np.concatenate(each).reshape(-1))
        assert np.array_equal(view.rows(slice(32, 64)), np.concatenate(each)[32:64])


def test_importances_of_another_model_are_refused(path: Path, tmp_path: Path) -> None:
    ones = np.ones(256, np.float32)
    elsewhere = write_dat(tmp_path / "elsewhere.dat", {"x": ones, "y": ones})
    short = write_dat(tmp_path / "short.dat", {MATRIX: ones[:255]})
    with open_source(str(path)) as source:
        with pytest.raises(SharkpackError) as caught:
            quantized_source(source, QuantizeOptions(scheme="q4_k", imatrix=elsewhere))
        assert str(caught.value) == f"{elsewhere}: none of its 2 tensors is in {path}; it was made for another model"
        with pytest.raises(SharkpackError) as caught:
            quantized_source(source, QuantizeOptions(scheme="q4_k", imatrix=short))
        assert str(caught.value) == (
            f"{short}: has 255 numbers for tensor '{MATRIX}', whose shape is [512, 256]; it was made for another model"
        )


def test_an_unknown_scheme_is_refused_with_those_there_are(path: Path) -> None:
    with (
        open_source(str(path)) as source,
        pytest.raises(
            SharkpackError, match=r"^nothing can be quantised to 'q9'; choose one of f32, .*, q3_k, q4_k, q5_k$"
        ),
    ):
        quantized_source(source, QuantizeOptions(scheme="q9"))


def test_a_value_that_is_no_number_names_its_tensor(tmp_path: Path) -> None:
    writer_path = write_tiny_gguf(tmp_path / "tiny.gguf", "llama", "F16")
    data = bytearray(writer_path.read_bytes())
    tensor = next(each for each in gguf.GGUFReader(writer_path).tensors if each.name == MATRIX)
    data[tensor.data_offset : tensor.data_offset + 2] = np.float16(np.inf).tobytes()
    writer_path.write_bytes(data)
    with open_source(str(writer_path)) as source:
        view = quantized_source(source, QuantizeOptions(scheme="q8_0")).model
        with pytest.raises(SharkpackError) as caught:
            view.tensor(MATRIX).read()
    assert str(caught.value) == f"tensor '{MATRIX}': The weights hold a value that is not a finite number."
