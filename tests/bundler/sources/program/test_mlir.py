"""A program as MLIR text, its description and its parameters: what does not agree is one sentence."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sharkpack.bundler.model_spec.weight_bytes import convert
from sharkpack.bundler.options import BuildOptions
from sharkpack.bundler.pipeline.plan import BuildPlan, make_plan
from sharkpack.bundler.sources import open_source
from sharkpack.formats.archive.generate_signature import generate_signature
from sharkpack.formats.errors import SharkpackError
from tests.bundler.sources.program.mlir_programs import TABLE, write_irpa, write_program, write_safetensors

Changes = tuple[tuple[str, str], ...]


def _plan(path: Path, **options: Any) -> BuildPlan:
    with open_source(str(path)) as source:
        return make_plan(source, BuildOptions(source=str(path), **options))


def _refusal(path: Path, **options: Any) -> str:
    with pytest.raises(SharkpackError) as caught:
        _plan(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path.parent))
    return message.removeprefix(f"{path.parent}/")


def test_what_a_program_is_as_a_source(tmp_path: Path) -> None:
    path = write_program(tmp_path)
    with open_source(str(path)) as source:
        assert (source.name, source.kind, source.origin, source.architecture) == (
            "bigram",
            "mlir",
            "program.mlir",
            "custom",
        )
        assert [file.name for file in source.files] == ["program.mlir", "program.json", "bigram.irpa"]
        assert (source.size, source.quantization) == (TABLE.nbytes, "F32")
        plan = make_plan(source, BuildOptions(source=str(path)))
        (weight,) = plan.model.weights.values()
        assert convert(weight, source).tobytes() == TABLE.tobytes()
    assert plan.batch_sizes == (1,)
    assert generate_signature(plan.signature).cache.page_elements == 32
    assert plan.program().text == path.read_text()


def test_parameters_may_be_safetensors(tmp_path: Path) -> None:
    path = write_program(tmp_path, parameters="w.safetensors")
    write_safetensors(tmp_path / "w.safetensors", "table", TABLE)
    with open_source(str(path)) as source:
        assert source.tensor("table").read().tobytes() == TABLE.tobytes()


@pytest.mark.parametrize(
    "changes",
    [
        (("func.func", "util.func public"), ("\n    return", "\n    util.return")),
        (("#flow.parameter", "#stream.parameter"),),
        (("module @module", "module"),),
        (
            (", tensor<?x256xf32>) {", ") {"),
            (", %hidden : ", " : "),
            (", tensor<?x256xf32>\n", "\n"),
            ("@head", "@tail"),
        ),
    ],
    ids=["util", "stream", "no name", "no head"],
)
def test_other_forms(tmp_path: Path, changes: Changes) -> None:
    _plan(write_program(tmp_path, *changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            (("%one = arith", "%one = arith."),),
            "program.mlir, line 14: custom op 'arith..constant' is unknown; expected MLIR for iree-compile",
        ),
        (
            (("return %logits, %cache :", "return %logits :"),),
            "program.mlir, line 67: custom op 'func.return' number of operands and types do not match",
        ),
        ((("@module", "@bigram"),), "program.mlir: the module is named '@bigram'; expected '@module', or no name"),
        (
            (("@decode_bs1", "@decode_bs2"),),
            "program.mlir: no public function decode_bs1; it has prefill_bs1, decode_bs2, head: "
            "add it, or leave its size out of --batch-sizes",
        ),
        (
            (("func.func @prefill_bs1", "func.func private @prefill_bs1"),),
            "no public function prefill_bs1; it has decode",
        ),
        (
            (("@head", "@tail"),),
            "program.mlir: no public function head; it has prefill_bs1, decode_bs1, tail: add it: it makes logits of "
            "the third result of prefill",
        ),
        (
            (("%page_ids: tensor<1x?xi64>", "%page_ids: tensor<1x?xi32>"),),
            "program.mlir: prefill_bs1 takes page_table as tensor<1x?xi32>; "
            "expected tensor<1x?xi64> (its sizes are 1, P)",
        ),
        (
            (("tensor<?x32xf32>", "tensor<?x64xf32>"),),
            "program.mlir: prefill_bs1 takes memory as tensor<?x64xf32>; "
            "expected tensor<?x32xf32> (its sizes are pages, 32)",
        ),
        (
            (("      %page_ids: tensor<1x?xi64>, %cache", "      %cache"),),
            "program.mlir: prefill_bs1 takes 4 tensors; expected 5: tokens, start_positions, seq_lens, page_table, "
            "memory",
        ),
        (
            (("tensor<1x?xi64>", "tensor<1x7xi64>"),),
            "program.mlir: prefill_bs1 takes tokens as tensor<1x7xi64>; expected tensor<1x?xi64> (its sizes are 1, S)",
        ),
        (
            (('"model"::', '"weights"::'),),
            "program.mlir: parameter 'table' has the scope 'weights'; expected \"model\"::\"table\", as a bundle "
            "has one parameter file, of that scope",
        ),
        (
            (('::"table"', '::"tables"'),),
            "bigram.irpa: parameter 'tables', tensor<256x256xf32> in program.mlir, is missing; did you mean 'table'?",
        ),
    ],
)
def test_refused_programs(tmp_path: Path, changes: Changes, message: str) -> None:
    assert message in _refusal(write_program(tmp_path, *changes))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"vocab": 256}, "program.json: the key 'vocab' is not known; did you mean 'vocab_size'?"),
        ({"zzz": 1}, "program.json: the key 'zzz' is not known; known: name, vocab_size, "),
        ({"page_elements": None}, "program.json: the key 'page_elements' is missing; expected name, vocab_size, "),
        ({"vocab_size": 256.0}, "program.json: vocab_size is 256.0; expected a whole number from 1 to "),
        ({"context_length": True}, "program.json: context_length is True; expected a whole number"),
        ({"name": 3}, "program.json: name is 3; expected a string"),
        ({"cache_dtype": "i8"}, "program.json: cache_dtype is 'i8'; expected 'f16' or 'f32'"),
        ({"parameters": 1}, "program.json: parameters is 1; expected a path, relative to this file"),
        ({"parameters": "none.irpa"}, "none.irpa: no such file; expected the parameters of program.mlir"),
        ({"parameters": "program.mlir"}, "program.mlir: parameters are read from .irpa or .safetensors files"),
        (
            {"vocab_size": 300},
            "program.mlir: prefill_bs1 returns logits as tensor<1x256xf32>; expected tensor<1x300xf32>",
        ),
        ({"cache_dtype": "f16"}, "prefill_bs1 takes memory as tensor<?x32xf32>; expected tensor<?x32xf16>"),
        (
            {"page_elements": 30},
            "program.mlir: page_elements is 30; expected a multiple of 2 * page_size: let its pages have 32",
        ),
        ({"tokenizer": "none"}, "none: no tokenizer.json and no tokenizer.model"),
    ],
)
def test_refused_descriptions(tmp_path: Path, values: dict[str, Any], message: str) -> None:
    assert message in _refusal(write_program(tmp_path, **values))


def test_no_description(tmp_path: Path) -> None:
    path = write_program(tmp_path)
    path.with_suffix(".json").unlink()
    assert _refusal(path).startswith(
        "program.json: no such file; expected beside program.mlir a JSON object with name, "
    )
    path.with_suffix(".json").write_text("{]")
    assert _refusal(path).startswith("program.json is not valid JSON: ")


def test_text_that_is_none(tmp_path: Path) -> None:
    path = write_program(tmp_path)
    path.write_bytes(b"ML\xefR\x00")
    assert _refusal(path).startswith("program.mlir is MLIR bytecode; expected MLIR text")
    path.write_text("")
    assert _refusal(path) == "program.mlir names no parameter; expected one at least: a bundle holds weights"
    path.unlink()
    assert _refusal(path) == "program.mlir: no such file; expected a program as MLIR text"


def test_parameters_of_another_kind(tmp_path: Path) -> None:
    path = write_program(tmp_path)
    expected = "expected 262144, as it is tensor<256x256xf32> in program.mlir"
    write_irpa(tmp_path / "bigram.irpa", "table", TABLE[:128])
    assert _refusal(path) == f"bigram.irpa: parameter 'table' has 131072 bytes (F32 [128, 256]); {expected}"
    write_irpa(tmp_path / "bigram.irpa", "table", TABLE.view(np.int32), "i32")
    assert _refusal(path) == f"bigram.irpa: parameter 'table' has 262144 bytes (I32 [256, 256]); {expected}"
    (tmp_path / "bigram.irpa").write_bytes(b"IRPA")
    assert _refusal(path) == "bigram.irpa: parameter file: 4 bytes are too few for a header"
    path = write_program(tmp_path, parameters="w.safetensors")
    write_safetensors(tmp_path / "w.safetensors", "table", TABLE.T.reshape(128, 512))
    assert _refusal(path) == f"w.safetensors: parameter 'table' has 262144 bytes (F32 [128, 512]); {expected}"
    write_safetensors(tmp_path / "w.safetensors", "rows", TABLE)
    assert _refusal(path).endswith("is missing; the file has rows")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_sizes": (1, 2)}, "no public function prefill_bs2"),
        ({"page_size": 32}, "program.mlir: a program has its own --page-size, here 16; leave out --page-size"),
        ({"cache_dtype": "i8"}, "a program has its own --cache-dtype, here f32; leave out --cache-dtype"),
        ({"activations": "int8"}, "a program has its own --activations, here float32; leave out --activations"),
    ],
)
def test_options_that_a_program_decides(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    assert message in _refusal(write_program(tmp_path), **options)
