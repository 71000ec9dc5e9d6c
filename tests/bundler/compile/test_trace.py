"""The traced program: entry points, the kernels of a layer, and a cache that is written in place all the way down."""

import re
from dataclasses import replace
from pathlib import Path

import iree.compiler
import pytest

from sharkpack.bundler.compile.compiler import flags_of
from sharkpack.bundler.compile.program import ProgramText
from sharkpack.bundler.compile.targets import TARGETS
from sharkpack.bundler.compile.trace import trace
from sharkpack.bundler.sources import open_source
from sharkpack.formats.model_files.irpa import PARAMETER_SCOPE
from sharkpack.templates.architectures.recipes import RECIPES
from sharkpack.templates.kernels.isa import AVX512_VNNI, PORTABLE
from sharkpack.templates.kernels.kernel import Kernel
from sharkpack.templates.layers.model_options import ModelOptions
from sharkpack.templates.layers.recipe import CausalModel
from sharkpack.templates.lowering.cpu import Cpu
from sharkpack.templates.lowering.lowering import Activations, Definition, link
from sharkpack.templates.lowering.parse import parse
from tests.tiny_models import write_tiny_gguf

OPTIONS = ModelOptions(context_length=64, page_size=16, cache_dtype="f16")


def _model(folder: Path, architecture: str, options: ModelOptions = OPTIONS) -> CausalModel:
    path = write_tiny_gguf(folder / "tiny.gguf", architecture, dim=128, head_dim=32)
    with open_source(str(path)) as source:
        return RECIPES[architecture].build(source, options)


def _functions(program: ProgramText) -> list[str]:
    return [function.name for function in parse(program.text).functions]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> tuple[CausalModel, ProgramText]:
    model = _model(tmp_path_factory.mktemp("program"), "llama")
    return model, trace(model, OPTIONS, (1, 3))


def test_entry_points(llama: tuple[CausalModel, ProgramText]) -> None:
    """Names, and the order and types of arguments, are the ABI."""
    model, program = llama
    *entry_points, last = _functions(program)
    assert (entry_points, last) == (["prefill_bs1", "decode_bs1", "prefill_bs3", "decode_bs3"], "head")
    for name in entry_points:
        kind, _, size = name.partition("_bs")
        (head,) = re.findall(rf"func\.func @{name}\((.*?)\) ->", program.text)
        shapes = re.findall(r"tensor<\[([^\]]*)\],(\w+)>", head)
        cache = (f"?,{model.cache_layout.page_elements}", "f16")
        tokens = (f"{size},{'?' if kind == 'prefill' else '1'}", "si64")
        assert shapes == [tokens, (size, "si64"), (size, "si64"), (f"{size},?", "si64"), cache]
        results = [(f"{size},{model.vocab_size}", "f32"), cache, ("?,128", "f32")][: 3 if kind == "prefill" else 2]
        assert re.findall(r"vtensor<\[([^\]]*)\],(\w+)>", _results(program.text, name)) == results
    assert f"vtensor<[?,{model.vocab_size}],f32>" in _results(program.text, "head")


def _results(text: str, name: str) -> str:
    (found,) = re.findall(rf"func\.func @{name}\(.*?\) -> (.*) \{{$", text, re.MULTILINE)
    return str(found)


@pytest.mark.parametrize("context", [1, 6])
def test_contexts_shorter_than_the_example_of_a_trace(tmp_path: Path, context: int) -> None:
    options = replace(OPTIONS, context_length=context)
    program = trace(_model(tmp_path, "llama", options), options, (1,))
    assert _functions(program) == ["prefill_bs1", "decode_bs1", "head"]


def _kernels(program: ProgramText, activations: Activations = "int8") -> list[str]:
    return list(Cpu(isa=PORTABLE, activations=activations).kernels(parse(program.text)))


def test_a_trace_knows_no_precision_and_no_kernel(llama: tuple[CausalModel, ProgramText]) -> None:
    _, program = llama
    assert program.from_recipe
    assert set(re.findall(r'torch\.operator "torch\.sharkpack\.(\w+)"', program.text)) == {
        *("embedding", "matmul", "rms_norm", "gated", "attend"),
    }
    assert "util.call" not in program.text


def test_no_operator_of_ours_is_left_of_a_lowered_program(llama: tuple[CausalModel, ProgramText]) -> None:
    _, program = llama
    text = link(program.text, Cpu(isa=PORTABLE))
    assert "torch.sharkpack" not in text
    assert set(re.findall(r"util\.call @(\w+)", text)) == set(_kernels(program))


def test_kernels_of_a_llama(llama: tuple[CausalModel, ProgramText]) -> None:
    """One a shape, whatever the number of layers and batch sizes; values and head with residual bytes."""
    model, program = llama
    names = _kernels(program)
    assert len(names) < 20
    for start in (
        "embedding",
        "attention_q",
        "attention_step",
        "rope_and_store",
        "rms_norm_int8",
        "matmul_q8_0_int8_n128",
    ):
        assert any(name.startswith(start) for name in names), start
    # Attention and norms quantise what they make; `head` is given rows.
    assert [name for name in names if name.startswith("quantize")] == ["quantize_int16_k128"]
    fine = {name for name in names if name.startswith("matmul") and "remainder" in name}
    joint = [name for name in fine if name.count("_n") == 3]
    assert fine == {*joint, f"matmul_q8_0_int8_remainder_n{model.vocab_size}_k128"}
    assert ["remainder" in part for part in joint[0].split("_n")[:3]] == [False, False, True]  # q, k, v


def test_float32_activations_are_never_quantised(tmp_path: Path) -> None:
    options = replace(OPTIONS, cache_dtype="f32")
    names = _kernels(trace(_model(tmp_path, "llama", options), options, (1,)), "float32")
    assert not [name for name in names if "int8" in name or "quantize" in name]
    assert not [name for name in names if "_f16_" in name]


def test_weights_are_parameters_and_stay_out_of_the_text(llama: tuple[CausalModel, ProgramText]) -> None:
    model, program = llama
    named = set(re.findall(rf'#flow\.parameter\.named<"{PARAMETER_SCOPE}"::"([^"]*)">', program.text))
    assert named == set(model.weights)
    assert "dense_resource" not in program.text
    assert len(program.text) < 400_000


def test_linking_puts_in_one_body_a_kernel(llama: tuple[CausalModel, ProgramText]) -> None:
    _, program = llama
    for isa in (AVX512_VNNI, PORTABLE):
        text = link(program.text, Cpu(isa=isa))
        assert ("vpdpbusd" in text) == (isa is AVX512_VNNI)
        for name in _kernels(program):
            assert text.count(f"hal.executable.source private @executable_{name} ") == 1
            assert text.count(f"util.func private @{name}(") == 1
        assert text.count("module @module {") == 1


class EmptyKernels(Cpu):
    """Kernels that do nothing."""

    def define(self, kernel: Kernel) -> Definition:
        return super().define(replace(kernel, body=lambda emitter: None))


COPIES = re.compile(r"stream\.(?:cmd\.copy|cmd\.fill|async\.clone|async\.copy|async\.update).*")


@pytest.mark.supports("architecture")
@pytest.mark.parametrize("architecture", ["llama", "gemma3", "stablelm", "qwen2moe"])
def test_the_cache_is_never_copied(tmp_path: Path, architecture: str) -> None:
    """The compiler's stream level shows each copy, of a whole cache or of a page, as an operation of its own; what
    kernels do inside does not matter there, and they are empty."""
    program = trace(_model(tmp_path, architecture), OPTIONS, (2,))
    functions = _stream_functions(link(program.text, EmptyKernels(isa=PORTABLE)))
    for name in _functions(program)[:-1]:
        assert functions[f"{name}$async"].count("stream.cmd.dispatch") > 15
        found = COPIES.findall(functions[f"{name}$async"])
        if name.startswith("decode"):  # begins with zeros for attention in parts, once for all layers
            assert found.pop().startswith("stream.cmd.fill %c0_i8")
        assert not found, name


def test_a_copy_would_be_seen() -> None:
    """A buffer that is returned as it came and changed too must be copied: the search above finds that."""
    text = """
module @module {
  func.func @both(%a: tensor<8x64xf32>, %row: tensor<1x64xf32>) -> (tensor<8x64xf32>, tensor<8x64xf32>) {
    %b = tensor.insert_slice %row into %a[3, 0] [1, 64] [1, 1] : tensor<1x64xf32> into tensor<8x64xf32>
    return %a, %b : tensor<8x64xf32>, tensor<8x64xf32>
  }
}
"""
    assert COPIES.findall(_stream_functions(text)["both"])


def _stream_functions(text: str) -> dict[str, str]:
    """Name -> text of each public function."""
    flags = [*flags_of(TARGETS["x86-64-v3"]), "--compile-to=stream"]
    made = iree.compiler.compile_str(text, extra_args=flags).decode()
    parts = re.split(r"\n  util\.func public @", made)[1:]
    return {re.split(r"[(\s]", part, maxsplit=1)[0]: part for part in parts}
