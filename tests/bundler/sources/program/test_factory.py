"""A program's file and its factory: what goes wrong there is one sentence."""

from pathlib import Path

import pytest

from sharkpack.bundler.quantize import QuantizeOptions
from sharkpack.bundler.sources import open_source
from sharkpack.formats.errors import SharkpackError
from tests.bundler.quantize.models import quantized_source

SOUND = """
from tests.bundler.quantize.models import quantized_source
from tests.bundler.sources.program.programs import program
import torch
def make(): return program()
def broken(): raise ValueError("no\\nweights")
def leave(): raise SystemExit(3)
def number(): return 3
def small(): return program(vocab_size=255)
def empty(): return program(context_length=0)
def function(): return program(model=make)
def nameless(): return program(name=None)
def place(): return program(tokenizer="folder")
def page(): return program(page_elements=float("nan"))
def weightless():
    made = program()
    del made.model.embedding
    return made
def integers():
    made = program()
    made.model.register_buffer("table", torch.zeros(3, dtype=torch.bool))
    return made
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(SOUND)
    return path


def _refusal(argument: str) -> str:
    with pytest.raises(SharkpackError) as caught:
        open_source(argument)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_a_program_is_as_a_source(path: Path) -> None:
    with open_source(f"{path}:make") as source:
        assert (source.name, source.kind, source.origin) == ("sums", "python", "program.py")
        assert source.integer("context_length") == 64
        assert {name: tensor.shape for name, tensor in source.tensors.items()} == {"embedding": (256, 4)}
        with pytest.raises(SharkpackError, match="leave out --quantize"):
            quantized_source(source, QuantizeOptions(scheme="q8_0"))


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (":nothing", "no function is named 'nothing'"),
        ("", "which function makes the model?"),
        (":broken", "program.py:broken raised ValueError: no\\nweights"),
        (":leave", "program.py:leave raised SystemExit: 3"),
        (":number", "program.py:number returned a int; expected a CustomModel"),
        (":small", "vocab_size is 255; one token a byte needs 256"),
        (":empty", "context_length is 0; expected a whole number from 1 to "),
        (":nameless", "program.py:nameless: name is None; expected a string"),
        (":place", "tokenizer is 'folder'; expected a pathlib.Path, of a folder with tokenizer.json"),
        (":page", "page_elements is nan; expected a whole number from 1 to "),
        (":weightless", "the model has no parameters; expected one at least"),
        (":function", "the model is a function; expected a torch.nn.Module"),
        (":integers", "parameter 'table' is bool [3] on cpu; expected float32, float16, bfloat16, int64, int32"),
    ],
)
def test_refusals(path: Path, factory: str, message: str) -> None:
    assert message in _refusal(f"{path}{factory}")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert "none.py: no such file" in _refusal(f"{tmp_path / 'none.py'}:make")


def test_a_file_that_does_not_run(path: Path) -> None:
    path.write_text("def make(:")
    assert "program.py raised SyntaxError" in _refusal(f"{path}:make")
