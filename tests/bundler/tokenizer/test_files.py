"""Tokenizers of checkpoints: the same ids as their files give, and what begins and ends a text from five files."""

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from sharkpack.bundler.sources import TokenizerFiles
from sharkpack.bundler.tokenizer import RebuiltTokenizer, rebuild_tokenizer, tokenizer_of
from sharkpack.formats.errors import SharkpackError
from tests.bundler.tokenizer.sources import byte_level
from tests.sentencepiece_files import sentencepiece_model
from tests.tiny_vocabularies import CONTROL, MERGES, spm_vocabulary

TEXTS = ("Hello world", "the 123 in\n\nit's é日", "<s>of the<|end|>", "")
SOURCE = byte_level(list(MERGES), {"<s>": CONTROL, "</s>": CONTROL, "<|end|>": CONTROL}, add_bos=False)
ROWS = 320


def _template(*tokens: str) -> dict[str, Any]:
    """A post-processor that puts those tokens before a text, and `</s>` after it where that is one of them."""
    pieces = [{"SpecialToken": {"id": token, "type_id": 0}} for token in tokens if token != "</s>"]
    pieces.append({"Sequence": {"id": "A", "type_id": 0}})
    pieces += [{"SpecialToken": {"id": "</s>", "type_id": 0}}] * tokens.count("</s>")
    special = {token: {"id": token, "ids": [_id(token)], "tokens": [token]} for token in tokens}
    return {"type": "TemplateProcessing", "single": pieces, "pair": pieces, "special_tokens": special}


def _id(token: str) -> int:
    return list(SOURCE.tokens).index(token)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tokenizer.json").write_bytes(rebuild_tokenizer(SOURCE).json)
    return tmp_path


def _edit(folder: Path, **changes: Any) -> None:
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), "utf-8")


def _say(folder: Path, **files: Any) -> None:
    """Write `<name>.json` files."""
    for name, values in files.items():
        (folder / f"{name}.json").write_text(json.dumps(values), "utf-8")


def _read(folder: Path, rows: int = ROWS, **config: Any) -> RebuiltTokenizer:
    return tokenizer_of(TokenizerFiles(folder=folder, config=config, rows=rows))


def _refusal(folder: Path, **config: Any) -> str:
    with pytest.raises(SharkpackError) as caught:
        _read(folder, **config)
    return str(caught.value)


@pytest.mark.parametrize(
    ("tokens", "add_bos", "add_eos"),
    [((), False, False), (("<s>",), True, False), (("<s>", "</s>"), True, True)],
)
def test_what_a_post_processor_adds_is_added_by_us(
    folder: Path, tokens: tuple[str, ...], add_bos: bool, add_eos: bool
) -> None:
    truncation = {"max_length": 2, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    _edit(folder, post_processor=_template(*tokens), truncation=truncation)
    found = _read(folder)
    assert (found.add_bos, found.add_eos) == (add_bos, add_eos)
    assert (found.bos_token, found.eos_token) == ("<s>" if add_bos else None, "</s>" if add_eos else None)
    plain, ours = Tokenizer.from_buffer(rebuild_tokenizer(SOURCE).json), Tokenizer.from_buffer(found.json)
    for text in TEXTS:
        assert ours.encode(text).ids == plain.encode(text, add_special_tokens=False).ids


def test_the_config_decides_before_the_post_processor(folder: Path) -> None:
    _edit(folder, post_processor=_template("<s>"))
    _say(folder, tokenizer_config={"add_bos_token": False})
    assert _read(folder).add_bos is False
    _edit(folder, post_processor=None)
    _say(folder, tokenizer_config={"add_bos_token": True, "bos_token": "<s>"})
    found = _read(folder)
    assert (found.add_bos, found.bos_token_id) == (True, _id("<s>"))


def test_special_tokens_come_from_the_first_file_that_names_them(folder: Path) -> None:
    """special_tokens_map.json, unless tokenizer_config.json is of an age in which it lists all added tokens."""
    _say(folder, special_tokens_map={"bos_token": "<|end|>", "eos_token": {"content": "</s>"}})
    found = _read(folder, eos_token_id=_id("<|end|>"))
    assert (found.bos_token, found.eos_token) == ("<|end|>", "</s>")
    config = {"bos_token": None, "eos_token": {"content": "<|end|>", "lstrip": False}}
    _say(folder, tokenizer_config=config)
    assert _read(folder).eos_token == "</s>"
    _say(folder, tokenizer_config=config | {"added_tokens_decoder": {}})
    found = _read(folder, bos_token_id=_id("<s>"))
    assert (found.bos_token_id, found.eos_token) == (None, "<|end|>")


def test_ids_of_the_config_stand_where_no_file_names_a_token(folder: Path) -> None:
    found = _read(folder, bos_token_id=_id("<s>"), eos_token_id=[_id("</s>"), _id("<|end|>")])
    assert (found.bos_token, found.eos_token) == ("<s>", "</s>")
    assert found.end_token_ids == (_id("</s>"), _id("<|end|>"))


def test_every_file_that_knows_an_end_is_believed(folder: Path) -> None:
    _say(folder, generation_config={"eos_token_id": [_id("<|end|>")]}, tokenizer_config={"eos_token": "</s>"})
    assert _read(folder, eos_token_id=_id("<s>")).end_token_ids == (_id("<s>"), _id("</s>"), _id("<|end|>"))


def test_a_chat_template_in_a_file_of_its_own_comes_first(folder: Path) -> None:
    assert _read(folder).chat_template is None
    _say(folder, chat_template={"chat_template": "old"})
    assert _read(folder).chat_template == "old"
    named = [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "plain"}]
    _say(folder, tokenizer_config={"chat_template": named})
    assert _read(folder).chat_template == "plain"
    (folder / "chat_template.jinja").write_text("é{{ x }}", "utf-8")
    assert _read(folder).chat_template == "é{{ x }}"


def test_embeddings_may_be_padded_but_not_missing(folder: Path) -> None:
    tokens = len(SOURCE.tokens)
    assert _read(folder, rows=tokens).json
    bare = 256 + len(MERGES)
    with pytest.raises(SharkpackError, match=f"has {tokens} tokens, and the model embeddings for {bare - 1}"):
        _read(folder, rows=bare - 1)


def test_added_tokens_without_an_embedding_are_left_out(folder: Path) -> None:
    found = _read(folder, rows=_id("<|end|>"))
    ids = Tokenizer.from_buffer(found.json).encode("a<|end|>b</s>").ids
    assert max(ids) == _id("</s>") < _id("<|end|>")
    assert found.notes == (
        f"the model has no embedding for the tokens '<|end|>' ({_id('<|end|>')}): they are left out of the tokenizer",
    )
    _edit(folder, post_processor=_template("<|end|>"))
    assert "and the model embeddings for" in _refusal_of_rows(folder, _id("<|end|>"))


def _refusal_of_rows(folder: Path, rows: int) -> str:
    with pytest.raises(SharkpackError) as caught:
        _read(folder, rows=rows)
    return str(caught.value)


@pytest.mark.parametrize(
    ("files", "note"),
    [
        (
            {"tokenizer_config": {"bos_token": "<gone>"}},
            "the bos_token '<gone>' is not in the tokenizer's vocabulary: ",
        ),
        (
            {"tokenizer_config": {"eos_token": "<gone>"}},
            "the eos_token '<gone>' is not in the tokenizer's vocabulary: ",
        ),
        ({"tokenizer_config": {"pad_token": "<gone>", "unk_token": "<gone>"}}, None),
        (
            {"generation_config": {"eos_token_id": [1, 400]}},
            "'eos_token_id' has ids outside the vocabulary of 320, 400",
        ),
        ({"generation_config": {"eos_token_id": -5}}, "'eos_token_id' has ids outside the vocabulary of 320, -5"),
    ],
)
def test_what_is_named_and_not_there_is_left_out(folder: Path, files: dict[str, Any], note: str | None) -> None:
    _say(folder, **files)
    found = _read(folder, eos_token_id=_id("</s>"))
    assert _id("</s>") in found.end_token_ids
    assert all(0 <= end < ROWS for end in found.end_token_ids)
    assert any(each.startswith(note) for each in found.notes) if note else not found.notes
    for name, text in (files.get("tokenizer_config") or {}).items():
        assert found.special_tokens[name] == text  # templates write it all the same


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True}}, r"its decoder \(WordPiece\) is not"),
        ({"decoder": None}, r"its decoder \(none\) is not supported"),
        ({"model": {"type": "Guess"}}, "is not a tokenizer that can be loaded"),
        ({"post_processor": _template("<s>", "<s>")}, "only that one can be added"),
    ],
)
def test_tokenizers_that_cannot_be_packed(folder: Path, changes: dict[str, Any], message: str) -> None:
    _edit(folder, **changes)
    with pytest.raises(SharkpackError, match=message):
        _read(folder)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"tokenizer_config": {"bos_token": 3}}, "'bos_token' is 3; expected the text of a token"),
        ({"tokenizer_config": {"add_bos_token": "yes"}}, "'add_bos_token' is 'yes'; expected a boolean"),
        ({"tokenizer_config": {"chat_template": 7}}, "'chat_template' is neither a text nor a list"),
        ({"tokenizer_config": []}, "Expected an object"),
        ({"generation_config": {"eos_token_id": "2"}}, "'eos_token_id' is '2'; expected a token's id"),
    ],
)
def test_special_tokens_that_make_no_sense(folder: Path, files: dict[str, Any], message: str) -> None:
    _say(folder, **files)
    assert message in _refusal(folder, eos_token_id=_id("</s>"))


def test_a_folder_without_a_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text("{}")
    assert "no tokenizer.json and no tokenizer.model; another kind of tokenizer can be converted" in _refusal(tmp_path)


# tokenizer.model


def _write_model(folder: Path, **options: Any) -> None:
    """A tokenizer.model with the tiny SentencePiece vocabulary."""
    given = spm_vocabulary()
    tokens, scores, types = (given[f"tokenizer.ggml.{key}"] for key in ("tokens", "scores", "token_type"))
    unknown, begin, end = (tokens.index(token) for token in ("<unk>", "<bos>", "<eos>"))
    written = sentencepiece_model(tokens, scores, types, special_ids=(unknown, begin, end), **options)
    (folder / "tokenizer.model").write_bytes(written)


def test_a_sentencepiece_model_is_a_vocabulary(tmp_path: Path) -> None:
    _write_model(tmp_path, add_prefix=False)
    found = _read(tmp_path, rows=410)
    assert (found.bos_token, found.eos_token, found.add_bos, found.add_eos) == ("<bos>", "<eos>", True, False)
    tokenizer = Tokenizer.from_buffer(found.json)
    assert tokenizer.encode("the world", add_special_tokens=False).tokens == ["the"[0], "he", "▁world"]
    _write_model(tmp_path, add_prefix=True)
    tokenizer = Tokenizer.from_buffer(_read(tmp_path, rows=410).json)
    assert tokenizer.encode("the world", add_special_tokens=False).tokens == ["▁the", "▁world"]


def test_tokens_may_be_added_to_a_sentencepiece_model(tmp_path: Path) -> None:
    _write_model(tmp_path)
    size = len(spm_vocabulary()["tokenizer.ggml.tokens"])
    _say(tmp_path, added_tokens={"<|user|>": size, "<eos>": 1})
    decoder = {"0": {"content": "<pad>"}, str(size + 1): {"content": "<|end|>", "special": False}}
    _say(tmp_path, tokenizer_config={"added_tokens_decoder": decoder, "eos_token": "<|end|>"})
    found = _read(tmp_path, rows=size + 2)
    assert (found.eos_token_id, found.eos_token) == (size + 1, "<|end|>")
    tokenizer = Tokenizer.from_buffer(found.json)
    assert tokenizer.encode("<|user|>he<|end|>").tokens == ["<|user|>", "▁", "he", "<|end|>"]
    _say(tmp_path, added_tokens={"<|user|>": size + 4, "<|far|>": 10**9})
    found = _read(tmp_path, rows=size + 8)  # no ids between are missed, none after are needed
    tokenizer = Tokenizer.from_buffer(found.json)
    assert tokenizer.token_to_id("<|user|>") == size + 4
    assert found.notes == (
        "the model has no embedding for the tokens '<|far|>' (1000000000): they are left out of the tokenizer",
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model_type": 1}, "a SentencePiece model that is not BPE"),
        ({"character_map": b"map"}, "a SentencePiece model that normalises text"),
    ],
)
def test_other_sentencepiece_models_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    _write_model(tmp_path, **options)
    assert message in _refusal(tmp_path)


def test_a_broken_sentencepiece_model_is_refused(tmp_path: Path) -> None:
    for data, message in ((b"", "holds no SentencePiece vocabulary"), (b"{}", "not a Protocol Buffers message")):
        (tmp_path / "tokenizer.model").write_bytes(data)
        assert message in _refusal(tmp_path)
