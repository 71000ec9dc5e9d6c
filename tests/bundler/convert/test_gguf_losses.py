"""A checkpoint's tokenizer as GGUF's keys: carried over, told of where there is no key, refused where text changes."""

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from sharkpack.bundler.convert import ConvertOptions, convert_model
from sharkpack.bundler.sources import open_source
from sharkpack.bundler.tokenizer import RebuiltTokenizer, tokenizer_of
from sharkpack.cli.support.progress import SilentProgress
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.model_files.gguf import GGUFFile
from tests.checkpoints import write_checkpoint_of
from tests.tiny_checkpoints import edit_json
from tests.tiny_models import write_tiny_gguf


@pytest.fixture(params=["llama", "gemma3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Checkpoints of a byte-level vocabulary and of one with spaces as letters."""
    return write_checkpoint_of(write_tiny_gguf(tmp_path / "tiny.gguf", request.param, "F16"), tmp_path / "checkpoint")


@pytest.fixture
def byte_level(tmp_path: Path) -> Path:
    return write_checkpoint_of(write_tiny_gguf(tmp_path / "tiny.gguf", "llama", "F16"), tmp_path / "checkpoint")


def _convert(folder: Path) -> tuple[Path, tuple[str, ...]]:
    output = folder.parent / "made.gguf"
    options = ConvertOptions(source=str(folder), output=output, force=True)
    return output, convert_model(options, SilentProgress()).warnings


def _tokenizer(path: Path) -> RebuiltTokenizer:
    with open_source(str(path)) as source:
        return tokenizer_of(source.tokenizer)


def _added(folder: Path) -> list[dict[str, Any]]:
    added: list[dict[str, Any]] = json.loads((folder / "tokenizer.json").read_text("utf-8"))["added_tokens"]
    return added


def _some(folder: Path, number: int) -> list[tuple[int, str]]:
    """Ids and texts of tokens that are neither special nor added."""
    document = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    added = {token["id"] for token in document["added_tokens"]}
    return [(index, text) for text, index in document["model"]["vocab"].items() if index not in added][:number]


def test_nothing_is_said_where_nothing_is_lost(folder: Path) -> None:
    path, warnings = _convert(folder)
    assert warnings == ()
    assert _tokenizer(path).end_token_ids == _tokenizer(folder).end_token_ids


@pytest.mark.parametrize("flag", ["lstrip", "rstrip", "single_word"])
def test_flags_of_added_tokens_are_told_of(folder: Path, flag: str) -> None:
    added = _added(folder)
    added[0][flag] = True
    edit_json(folder / "tokenizer.json", added_tokens=added)
    _, warnings = _convert(folder)
    name = added[0]["content"]
    assert warnings == (f"GGUF has no key for '{flag}' of added tokens, which is lost for {name!r}",)


@pytest.mark.parametrize(
    ("normalizer", "warning"),
    [
        ({"type": "NFC"}, "GGUF has no key for the normalizer NFC: text that it would change becomes other tokens"),
        ({"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "StripAccents"}]}, "NFKC, StripAccents"),
    ],
)
def test_normalizers_are_told_of(byte_level: Path, normalizer: dict[str, Any], warning: str) -> None:
    edit_json(byte_level / "tokenizer.json", normalizer=normalizer)
    _, warnings = _convert(byte_level)
    assert any(warning in each for each in warnings)


@pytest.mark.parametrize(
    "changes",
    [
        {"normalizer": {"type": "Lowercase"}},
        {"normalizer": {"type": "Prepend", "prepend": "x"}},
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}},
    ],
)
def test_what_would_cut_ordinary_text_otherwise_is_refused(byte_level: Path, changes: dict[str, Any]) -> None:
    edit_json(byte_level / "tokenizer.json", **changes)
    with pytest.raises(SharkpackError, match="GGUF cannot say how its tokenizer cuts text: "):
        _convert(byte_level)
    assert not (byte_level.parent / "made.gguf").exists()


def test_further_ends_are_eot_and_eom_and_the_rest_is_told_of(byte_level: Path) -> None:
    first, second, third = _some(byte_level, 3)
    eos = _tokenizer(byte_level).eos_token_id
    path = byte_level / "generation_config.json"
    path.write_text(json.dumps({"eos_token_id": [eos, first[0], second[0]]}))
    made, warnings = _convert(byte_level)
    assert warnings == ()
    assert {eos, first[0], second[0]} <= set(_tokenizer(made).end_token_ids)
    path.write_text(json.dumps({"eos_token_id": [eos, first[0], second[0], third[0]]}))
    _, warnings = _convert(byte_level)
    assert warnings == (f"GGUF has no key for further tokens that end a text: it does not end at {third[1]!r}",)


def test_tokens_without_an_embedding_are_told_of(byte_level: Path) -> None:
    beyond = {**_added(byte_level)[0], "id": 5000, "content": "<|image|>"}
    edit_json(byte_level / "tokenizer.json", added_tokens=[*_added(byte_level), beyond])
    _, warnings = _convert(byte_level)
    assert warnings == (
        "the model has no embedding for the tokens '<|image|>' (5000): they are left out of the tokenizer",
    )


def test_templates_and_named_tokens_are_carried_over(byte_level: Path) -> None:
    (pad, image), named = _some(byte_level, 2), byte_level / "additional_chat_templates"
    edit_json(byte_level / "tokenizer_config.json", pad_token=pad[1], image_token=image[1])
    named.mkdir()
    (named / "tool_use.jinja").write_text("{{ image_token }}{{ messages }}")
    path, warnings = _convert(byte_level)
    assert warnings == ("GGUF has no key for tokens that the chat template names: 'image_token' will be empty",)
    found, was = _tokenizer(path), _tokenizer(byte_level)
    assert found.chat_templates == was.chat_templates
    assert found.special_tokens["pad_token"] == pad[1]
    with GGUFFile.open(path) as file:
        assert file.metadata["tokenizer.chat_templates"] == ["tool_use"]
        assert file.metadata["tokenizer.ggml.padding_token_id"] == pad[0]


def test_sampling_defaults_are_carried_over(byte_level: Path) -> None:
    said = {"do_sample": True, "temperature": 0.7, "top_k": 20, "repetition_penalty": 1.1, "no_repeat_ngram_size": 3}
    (byte_level / "generation_config.json").write_text(json.dumps(said))
    path, warnings = _convert(byte_level)
    assert warnings == ("GGUF has no key for what generation_config.json says of no_repeat_ngram_size",)
    with GGUFFile.open(path) as file:
        assert file.metadata["general.sampling.temp"] == pytest.approx(0.7)
        assert file.metadata["general.sampling.top_k"] == 20
        assert file.metadata["general.sampling.penalty_repeat"] == pytest.approx(1.1)


def test_the_ids_of_a_text_are_the_checkpoints(folder: Path) -> None:
    path, _ = _convert(folder)
    texts = ("Hello world", " the of  the", "a<end_of_turn>b", "it's é日")
    ids = [[Tokenizer.from_buffer(_tokenizer(each).json).encode(text).ids for text in texts] for each in (folder, path)]
    assert ids[0] == ids[1]


def test_a_file_without_tensors_is_refused_by_name(tmp_path: Path) -> None:
    import gguf

    writer = gguf.GGUFWriter(tmp_path / "vocabulary.gguf", "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(["a", "b"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    options = ConvertOptions(source=str(tmp_path / "vocabulary.gguf"), output=tmp_path / "out.gguf")
    with pytest.raises(SharkpackError, match=r"vocabulary\.gguf: holds a vocabulary and no tensors"):
        convert_model(options, SilentProgress())
