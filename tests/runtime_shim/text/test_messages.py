"""Messages and templates: what transformers renders of the same messages, from the same files."""

import dataclasses
import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from sharkpack.bundler.sources import TokenizerFiles
from sharkpack.bundler.tokenizer import rebuild_tokenizer, tokenizer_of
from sharkpack.formats.errors import SharkpackError
from sharkpack.runtime_shim.text.chat import ChatTemplate
from sharkpack.runtime_shim.text.messages import normalize_messages, plain_data
from tests.bundler.tokenizer.sources import byte_level
from tests.tiny_vocabularies import CONTROL

SPECIAL = ("<s>", "</s>", "<pad>", "<|image|>")
NAMES = (
    "{% for name in ['bos_token', 'eos_token'] %}{{ name }}{% endfor %}{{ bos_token }}|{{ eos_token }}|{{ unk_token }}|"
    "{{ sep_token }}|{{ pad_token }}|{{ cls_token }}|{{ mask_token }}|{{ image_token }}|{{ boi_token }}|"
    "{{ mask_token is defined }}{{ additional_special_tokens }}"
)
MESSAGES: tuple[list[dict[str, Any]], ...] = (
    [{"role": "user", "content": "a"}, {"role": "assistant", "content": None, "tool_calls": [{"name": "f"}]}],
    [{"role": "user", "content": [{"type": "text", "text": "a"}]}, {"role": "assistant", "reasoning": "b"}],
    [{"role": "assistant", "content": "a", "reasoning_content": "b", "thinking": "c"}],
    [{"role": "assistant", "content": "a", "thinking": "c", "tool_calls": None}],
)
ALL = "{% for m in messages %}{% for key in m | sort %}{{ key }}={{ m[key] | tojson }};{% endfor %}\n{% endfor %}"


def _folder(folder: Path, model_type: str = "llama", **config: Any) -> Path:
    source = byte_level([], dict.fromkeys(SPECIAL, CONTROL), add_bos=False)
    (folder / "tokenizer.json").write_bytes(rebuild_tokenizer(source).json)
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **config}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    return folder


def _ours(folder: Path, messages: list[dict[str, Any]], name: str = "default") -> str:
    config = json.loads((folder / "config.json").read_text())
    found = tokenizer_of(TokenizerFiles(folder=folder, config=config, rows=300))
    template = ChatTemplate(found.chat_templates[name])
    return template.render(normalize_messages(messages), add_generation_prompt=False, **found.special_tokens)


def _theirs(folder: Path, messages: list[dict[str, Any]], **options: Any) -> str:
    import transformers

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        rendered: str = tokenizer.apply_chat_template(messages, tokenize=False, **options)
    return rendered


@pytest.mark.parametrize("messages", MESSAGES)
def test_messages_are_normalised_as_transformers_does(tmp_path: Path, messages: list[dict[str, Any]]) -> None:
    folder = _folder(tmp_path, chat_template=ALL)
    assert _ours(folder, messages) == _theirs(folder, messages)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"bos_token": "<s>", "eos_token": {"__type": "AddedToken", "content": "</s>"}, "pad_token": "<pad>"},
        {"unk_token": "<s>", "sep_token": "</s>", "cls_token": "<pad>", "mask_token": "<|image|>"},
        {"image_token": "<|image|>", "additional_special_tokens": ["<|image|>"]},
        {"extra_special_tokens": {"image_token": "<|image|>", "boi_token": "<s>"}, "pad_token": None},
        {"model_specific_special_tokens": {"boi_token": "<s>"}, "add_bos_token": False},
        {"bos_token": "<gone>"},
    ],
)
def test_names_of_tokens_are_those_that_transformers_gives(tmp_path: Path, config: dict[str, Any]) -> None:
    folder = _folder(tmp_path, chat_template=NAMES, **config)
    assert _ours(folder, MESSAGES[0]) == _theirs(folder, MESSAGES[0])


@pytest.mark.parametrize(
    ("model_type", "kind"),
    [
        *(("llama", kind) for kind in (None, "LlamaTokenizerFast", "GPT2TokenizerFast", "GPTNeoXTokenizerFast")),
        *(("llama", kind) for kind in ("CohereTokenizerFast", "Qwen2Tokenizer", "GemmaTokenizer")),
        *((model_type, None) for model_type in ("qwen2", "qwen3", "qwen3_moe", "gemma2", "gemma3_text", "phi3")),
    ],
)
def test_classes_have_names_of_their_own(tmp_path: Path, model_type: str, kind: str | None) -> None:
    folder = _folder(tmp_path, model_type, chat_template=NAMES, tokenizer_class=kind, bos_token="<s>", pad_token=None)
    assert _ours(folder, MESSAGES[0]) == _theirs(folder, MESSAGES[0])


def test_special_tokens_map_is_read_where_transformers_reads_it(tmp_path: Path) -> None:
    folder = _folder(tmp_path, chat_template=NAMES, bos_token="</s>")
    named = {"bos_token": "<s>", "pad_token": {"content": "<pad>", "lstrip": False}, "image_token": "<|image|>"}
    (folder / "special_tokens_map.json").write_text(json.dumps(named))
    assert _ours(folder, MESSAGES[0]) == _theirs(folder, MESSAGES[0])


def test_templates_by_name(tmp_path: Path) -> None:
    named = [{"name": "tool_use", "template": "tools{{ messages | length }}"}, {"name": "default", "template": ALL}]
    folder = _folder(tmp_path, chat_template=named)
    assert _ours(folder, MESSAGES[0]) == _theirs(folder, MESSAGES[0])
    assert _ours(folder, MESSAGES[0], "tool_use") == _theirs(folder, MESSAGES[0], tools=[{"name": "f"}])
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "other.jinja").write_text("other")
    (folder / "chat_template.jinja").write_text("file")
    assert _ours(folder, MESSAGES[0]) == _theirs(folder, MESSAGES[0]) == "file"
    assert _ours(folder, MESSAGES[0], "other") == _theirs(folder, MESSAGES[0], chat_template="other")


def test_objects_become_plain_values() -> None:
    @dataclasses.dataclass
    class Part:
        text: str

    class Model:
        def model_dump(self) -> dict[str, Any]:
            return {"role": "user", "content": [Part("a")], "extra": object()}

    assert normalize_messages([Model()]) == [{"role": "user", "content": [{"text": "a"}], "extra": "<object>"}]
    assert plain_data((True, 1.5, {"a": None})) == (True, 1.5, {"a": None})
    with pytest.raises(SharkpackError, match="a message is 'a': expected a dict with a role and its content"):
        normalize_messages(["a"])
