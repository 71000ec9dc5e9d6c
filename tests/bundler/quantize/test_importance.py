"""The importance of weights, measured: against what transformers feeds its own layers, and what is left out."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from sharkpack.bundler.quantize import QuantizeOptions, importance, plan_quantization
from sharkpack.bundler.quantize.importance import LENGTH, SEQUENCES, measure_importance
from sharkpack.bundler.quantize.inputs import Inputs
from sharkpack.bundler.quantize.mixture import is_quantized
from sharkpack.bundler.sources import open_source
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.quant import dequantize
from sharkpack.formats.quantize import quantize
from tests.made_tensors import MadeTensor
from tests.tiny_architectures import TINY, write_architecture
from tests.tiny_models import write_tiny_gguf

DOWN = "blk.0.ffn_down.weight"


class Steps:
    """Counts what a step is told."""

    def __init__(self) -> None:
        self.totals: dict[str, int | None] = {}
        self.done = 0

    def __call__(self, name: str, total: int | None = None) -> Any:
        self.totals[name] = total
        return nullcontext(SimpleNamespace(advance=self._advance))

    def _advance(self, count: int) -> None:
        self.done += count


def _means_of_transformers(folder: Path, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
    """The mean square of each input of a linear layer, by the name of its weight."""
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", local_files_only=True
    ).eval()
    means: dict[str, torch.Tensor] = {}

    def watch(name: str, layer: torch.nn.Module) -> None:
        def see(_: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
            means[f"{name}.weight"] = given[0].reshape(-1, given[0].shape[-1]).double().square().mean(0)

        layer.register_forward_pre_hook(see)

    for name, layer in model.named_modules():
        if isinstance(layer, torch.nn.Linear):
            watch(name, layer)
    with torch.no_grad():
        model(tokens)
    return means


@pytest.mark.parametrize("name", list(TINY))
def test_inputs_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    folder, steps = write_architecture(tmp_path / name, name), Steps()
    with open_source(str(folder)) as source:
        measured = measure_importance(source, steps)
        tokens = importance._tokens(source, LENGTH, 320)
        stored = {source.stored_name(tensor): tensor for tensor in measured}
        shapes = {tensor: source.tensors[tensor].shape for tensor in measured}
        head = "output.weight" if "output.weight" in source.tensors else "token_embd.weight"
        products = {head, *(each for each in source.tensors if each.startswith("blk."))}
        quantised = {each for each in products if is_quantized(source.tensors[each])}
    assert quantised <= set(measured)
    theirs = _means_of_transformers(folder, tokens)
    expected = {stored[each]: means for each, means in theirs.items() if each in stored}
    expected[head] = theirs["lm_head.weight"]
    assert len(expected) >= 7
    for tensor, means in expected.items():
        np.testing.assert_allclose(measured[tensor], means.numpy(), rtol=2e-4, atol=1e-7, err_msg=tensor)
    for tensor, found in measured.items():
        assert found.dtype == np.dtype(np.float32)
        assert found.size == np.prod(shapes[tensor][:-2], dtype=int) * shapes[tensor][-1]
        assert (found > 0).all()
    total = steps.totals["importance"]
    assert total is not None
    assert 0 < steps.done <= total
    assert steps.done == total or any("_exps" in each for each in measured), "only experts may not all be read"


def test_texts_begin_with_their_token_every_other_time(tmp_path: Path) -> None:
    with open_source(str(write_architecture(tmp_path / "tiny", "llama"))) as source:
        tokens = importance._tokens(source, 5, 320)
        assert tokens.shape == (SEQUENCES, 5)
        assert (tokens[::2, 0] == 1).all()
        assert len(set(tokens[1::2, 0].tolist())) > 2
        assert torch.equal(tokens, importance._tokens(source, 5, 320))
        assert torch.equal(tokens[::2, 1:], importance._tokens(source, 5, 320)[::2, 1:])


def test_an_expert_that_saw_nothing_has_the_mean_of_the_others() -> None:
    inputs = Inputs()
    inputs.add("stack", torch.tensor([[1.0, 2.0], [3.0, 0.0]]), expert=0, experts=3)
    inputs.add("stack", torch.tensor([[0.0, 4.0]]), expert=2, experts=3)
    assert inputs.means()["stack"].tolist() == pytest.approx([5, 2, 10 / 3, 20 / 3, 0, 16])


def test_weights_are_weighed_by_what_was_measured(tmp_path: Path) -> None:
    with open_source(str(write_tiny_gguf(tmp_path / "tiny.gguf", "qwen2", "F16"))) as source:
        quantized = plan_quantization(source, QuantizeOptions(scheme="q8_0", measure=True)).apply(Steps())
        tensor = source.tensor(DOWN)
        values = dequantize(tensor.type_name, tensor.read(), tensor.shape)
        means = measure_importance(source, Steps())[DOWN]
        assert np.array_equal(quantized.model.tensor(DOWN).read(), quantize("Q8_0", values, means).reshape(-1))
        assert not np.array_equal(quantized.model.tensor(DOWN).read(), quantize("Q8_0", values).reshape(-1))
        for tensor in quantized.model.tensors.values():
            tensor.read()
        weighed = {each.name: each.weighed for each in quantized.report.tensors}
        assert set(weighed.values()) == {True}, "the embedding is the output head too"


@pytest.mark.parametrize("scheme", ["f16", "bf16", "f32"])
def test_floats_need_no_measuring(scheme: str, tmp_path: Path) -> None:
    with open_source(str(write_tiny_gguf(tmp_path / "tiny.gguf", quantization="F16"))) as source:
        steps = Steps()
        plan_quantization(source, QuantizeOptions(scheme=scheme, measure=True)).apply(steps)
        assert steps.totals == {}


def test_a_model_that_overflows_is_refused(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", quantization="F32")
    with open_source(str(path)) as source:
        tensor = source.tensor("blk.1.ffn_norm.weight")
        huge = MadeTensor(tensor.name, "F32", np.full(tensor.shape, 1e30, np.float32))
        tensors = {**source.tensors, tensor.name: huge}
        with pytest.raises(SharkpackError, match=r"inputs of 'blk\.1\.ffn_gate\.weight' are not all finite numbers"):
            measure_importance(replace(source, tensors=tensors), Steps())


def test_a_model_that_cannot_be_run_is_named(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", quantization="F16", metadata={"general.architecture": "gpt5"})
    with open_source(str(path)) as source, pytest.raises(SharkpackError) as caught:
        plan_quantization(source, QuantizeOptions(scheme="q8_0", measure=True)).apply(Steps())
    message = str(caught.value)
    assert message.startswith(f"{path}: to measure what matters in its weights the model has to be run, and cannot be:")
    assert "architecture 'gpt5' is not supported" in message
    assert message.endswith("; give --imatrix FILE, or --imatrix none to do without")
