import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from sharkpack.bundler.sources import SourceModel, TokenizerSource, open_source
from sharkpack.formats.errors import SharkpackError


def write(path: Path, **overrides: Any) -> Path:
    """A small model file; an override of None leaves its key out."""
    values: dict[str, Any] = {
        "general.architecture": "llama",
        "general.name": "Tiny",
        "general.license": "mit",
        "general.file_type": 3,
        "llama.block_count": 2,
        "llama.rope.freq_base": 0.5,
        "llama.rope.scaling.type": "linear",
        "llama.use_it": True,
        "llama.factors": [0.5, 1.5],
        "llama.pattern": [True, False],
        "llama.heads": [1, 2],
        "llama.words": ["a"],
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": ["a", "b", "ab"],
        "tokenizer.ggml.merges": ["a b"],
        "tokenizer.ggml.token_type": [1, 1, 1],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": "{{ messages }}",
    } | overrides
    adders = {bool: "add_bool", int: "add_uint32", float: "add_float32", str: "add_string", list: "add_array"}
    writer = gguf.GGUFWriter(path, str(values.pop("general.architecture")))
    for key, value in values.items():
        if value is not None:
            getattr(writer, adders[type(value)])(key, value)
    writer.add_tensor("weights", np.arange(64, dtype=np.float32).reshape(2, 32))
    writer.add_tensor("halves", np.arange(4096, dtype=np.float16).reshape(64, 64))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def source(tmp_path: Path) -> SourceModel:
    return open_source(str(write(tmp_path / "tiny.gguf")))


def _vocabulary(source: SourceModel) -> TokenizerSource:
    assert isinstance(source.tokenizer, TokenizerSource)
    return source.tokenizer


def test_a_model_says_what_it_is(source: SourceModel, tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    assert (source.kind, source.architecture, source.name, source.license) == ("gguf", "llama", "Tiny", "mit")
    assert (source.path, source.size, source.quantization) == (path, path.stat().st_size, "Q4_1")
    assert _vocabulary(source).chat_templates == {"default": "{{ messages }}"}
    assert source.sha256() == hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_a_file_does_not_say_is_none_or_derived(tmp_path: Path) -> None:
    keys = ("general.name", "general.license", "general.file_type", "tokenizer.chat_template")
    with open_source(str(write(tmp_path / "small.gguf", **dict.fromkeys(keys)))) as source:
        assert (source.name, source.license, _vocabulary(source).chat_templates) == ("small", None, {})
        assert source.quantization == "F16"  # most of its bytes


def test_hyperparameters_are_read_with_their_type(source: SourceModel) -> None:
    assert source.integer("block_count") == 2
    assert source.floating("rope.freq_base") == 0.5
    assert source.floating("block_count") == 2.0
    assert source.text("rope.scaling.type") == "linear"
    assert source.boolean("use_it") is True
    assert source.floats("factors") == [0.5, 1.5]
    assert source.floats("heads") == [1.0, 2.0]
    assert source.booleans("pattern") == [True, False]
    assert source.integers("heads") == [1, 2]
    assert source.texts("words") == ["a"]
    assert source.integer("absent", 7) == 7
    assert source.boolean("absent", default=False) is False
    assert source.hyperparameters()[:2] == ("block_count", "rope.freq_base")


@pytest.mark.parametrize(
    ("getter", "key", "message"),
    [
        ("integer", "absent", "the metadata has no 'llama.absent', which this model needs"),
        ("integer", "rope.freq_base", "'llama.rope.freq_base' is 0.5; expected an integer"),
        ("integer", "use_it", "'llama.use_it' is True; expected an integer"),
        ("integer", "heads", "'llama.heads' is an array of 2; expected an integer"),
        ("floating", "use_it", "'llama.use_it' is True; expected a number"),
        ("text", "block_count", "'llama.block_count' is 2; expected a string"),
        ("boolean", "block_count", "'llama.block_count' is 2; expected a boolean"),
        ("integers", "block_count", "'llama.block_count' is 2; expected an array of integers"),
        ("integers", "factors", "'llama.factors' is an array of 2; expected an array of integers"),
        ("integers", "pattern", "'llama.pattern' is an array of 2; expected an array of integers"),
        ("texts", "absent", "the metadata has no 'llama.absent', which this model needs"),
    ],
)
def test_a_wrong_hyperparameter_is_named(source: SourceModel, getter: str, key: str, message: str) -> None:
    with pytest.raises(SharkpackError) as caught:
        getattr(source, getter)(key)
    assert str(caught.value) == f"{source.path}: {message}"


def test_an_infinite_number_is_refused(tmp_path: Path) -> None:
    source = open_source(str(write(tmp_path / "tiny.gguf", **{"llama.scale": float("inf")})))
    with pytest.raises(SharkpackError, match=r"'llama.scale' is inf; expected a finite number"):
        source.floating("scale")


def test_tensors_are_read_lazily_and_let_go(source: SourceModel) -> None:
    tensor = source.tensor("weights")
    assert (tensor.name, tensor.shape, tensor.type_name, tensor.nbytes) == ("weights", (2, 32), "F32", 256)
    data = tensor.read()
    assert data.dtype == np.uint8
    np.testing.assert_array_equal(data.view(np.float32), np.arange(64))
    tensor.release()
    with pytest.raises(SharkpackError, match="no tensor is named 'output', which the architecture needs"):
        source.tensor("output")


def test_the_vocabulary_is_kept_as_the_file_has_it(source: SourceModel) -> None:
    vocabulary = _vocabulary(source)
    assert (vocabulary.model, vocabulary.pre, list(vocabulary.tokens)) == ("gpt2", None, ["a", "b", "ab"])
    assert vocabulary.special_ids == {"bos": 1}
    assert (vocabulary.add_bos, vocabulary.add_eos, vocabulary.scores) == (False, None, None)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"general.type": "adapter"}, "holds one of type 'adapter', not a model of its own"),
        ({"split.count": 3}, "part 1 of 3; to find the others, it has to be named as it was: NAME-00001-of-00003.gguf"),
        ({"tokenizer.ggml.tokens": None}, "the metadata has no 'tokenizer.ggml.tokens', which this model needs"),
        ({"tokenizer.ggml.tokens": [1, 2]}, "'tokenizer.ggml.tokens' is an array of 2; expected an array of strings"),
        (
            {"tokenizer.ggml.token_type": [1]},
            "'tokenizer.ggml.token_type' has 1 entries and 'tokenizer.ggml.tokens' 3",
        ),
    ],
)
def test_what_is_not_a_whole_model_is_refused(tmp_path: Path, overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(SharkpackError) as caught:
        open_source(str(write(tmp_path / "tiny.gguf", **overrides)))
    assert message in str(caught.value)


def test_another_source_is_refused_with_what_is_supported(tmp_path: Path) -> None:
    other = tmp_path / "model.safetensors"
    other.write_bytes(bytes(100))
    with pytest.raises(SharkpackError, match=r"not a model that can be packed but .*; supported: GGUF files"):
        open_source(str(other))
    with pytest.raises(SharkpackError, match=r"config.json is missing; a checkpoint has it"):
        open_source(str(tmp_path))
    with pytest.raises(
        SharkpackError, match="no such file; expected a GGUF file, a checkpoint's folder, hf:owner/name"
    ):
        open_source(str(tmp_path / "absent.gguf"))
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"<html>")
    with pytest.raises(SharkpackError, match="a web page"):
        open_source(str(broken))
    renamed = write(tmp_path / "model.bin")
    assert open_source(str(renamed)).architecture == "llama"


def test_a_registered_model_opens_by_name(
    model_path: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = model_path("smollm2-135m")
    monkeypatch.setenv("SHARKPACK_MODELS", str(path.parent))
    with open_source("smollm2-135m") as source:
        assert (source.path, source.name, source.origin) == (path, "smollm2-135m", path.name)
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "smollm2-135m")
    with open_source("smollm2-135m") as source:  # a file of that name comes first
        assert source.name == "Tiny"


@pytest.mark.parametrize(
    ("name", "architecture", "quantization", "tensors", "blocks"),
    [
        ("smollm2-135m", "llama", "Q4_1", 272, 30),
        ("gemma3-270m", "gemma3", "Q4_K_M", 236, 18),
        ("qwen2.5-coder-0.5b", "qwen2", "Q4_K_M", 291, 24),
    ],
)
def test_a_real_model_opens(
    model_path: Callable[[str], Path], name: str, architecture: str, quantization: str, tensors: int, blocks: int
) -> None:
    with open_source(str(model_path(name))) as source:
        assert (source.architecture, source.quantization, len(source.tensors)) == (architecture, quantization, tensors)
        assert source.integer("block_count") == blocks
        assert source.tensor("token_embd.weight").shape[0] == len(_vocabulary(source).tokens)
