"""Control tokens told apart from text that spells them.

A prompt's own texts are put into a template with one letter in place of each control token that they spell, so that
the control tokens of what is rendered are the template's; what the letters stand for is then encoded as text.
"""

import json
import re
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sharkpack.runtime_shim.errors import RequestError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

StandIns = Mapping[str, str]
"""The text that each stand-in, a single letter, stands for."""

_LETTERS = range(0x20000, 0x2A6D0)
"""Rare ideographs: letters, so that `repr` and Jinja's filters pass them on as they are."""


class ControlTokens:
    """The control tokens of one tokenizer. Safe from several threads."""

    def __init__(self, tokenizer: "Tokenizer") -> None:
        special = {index: token for index, token in tokenizer.get_added_tokens_decoder().items() if token.special}
        self._tokenizer = tokenizer
        self._texts = {index: token.content for index, token in special.items()}
        longest_first = sorted(set(self._texts.values()), key=lambda text: (-len(text), text))
        self._pattern = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
        beginnings = {text[:size] for text in longest_first for size in range(1, len(text))}
        self._beginnings = {text for text in beginnings if not text.isalnum()}  # a word ends a text by chance
        self._longest = max(map(len, self._beginnings), default=0)
        self._normalized = tokenizer.normalizer is not None and any(token.normalized for token in special.values())
        self._blind: Tokenizer | None = None
        self._before = f"\ufdd0{secrets.token_hex(8)}"
        self._lock = threading.Lock()

    def stand_ins(self, value: object, template: str = "") -> StandIns:
        """Letters for the control tokens that the strings of `value` (a text, or lists and dicts of them) spell.

        None of them is in `value` or in `template`. Most prompts spell no control token and need none.
        """
        texts = list(_strings(value))
        spelled = {text[begin:end] for text in texts for begin, end in self._spans(text)}
        if not spelled:
            return {}
        texts.append(template)
        used = set().union(*texts)
        free = (
            letter
            for letter in map(chr, _LETTERS)
            if letter not in used and not any(_escaped(letter) in text for text in texts)
        )
        made = dict(zip(free, sorted(spelled), strict=False))
        if len(made) < len(spelled):
            raise RequestError("the prompt spells too many control tokens: let them be tokens, with --special")
        return made

    def hide(self, value: Any, stand_ins: StandIns) -> Any:
        """`value` with the letters in place of what they stand for, in the keys of dicts too."""
        letters = {text: letter for letter, text in stand_ins.items()}
        return _map_strings(value, lambda text: self._replace(text, letters)) if letters else value

    def encode(self, text: str, stand_ins: StandIns | None = None) -> list[int]:
        """Token ids of a rendered prompt: control tokens that it spells are tokens; what letters stand for is text."""
        text = _unescape(text, stand_ins or {})
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        ids: list[int] = encoding.ids
        if not stand_ins:
            return ids
        made: list[int] = []
        token = begin = 0
        for at in [*self._found(text, encoding), len(ids)]:
            end = encoding.offsets[at][0] if at < len(ids) else len(text)
            stretch = text[begin:end]
            if stand_ins.keys() & set(stretch):
                made += self.encode_text(stretch.translate(_table(stand_ins)), first=begin == 0)
                made += ids[at : at + 1]
            else:
                made += ids[token : at + 1]
            token, begin = at + 1, encoding.offsets[at][1] if at < len(ids) else end
        return made

    def encode_text(self, text: str, *, first: bool = True) -> list[int]:
        """Token ids of `text` with no control token among them, whatever it spells.

        first: it begins the prompt; otherwise it comes after a control token.
        """
        if first and not self._spans(text):
            ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
            return ids
        blind = self._blind_tokenizer()
        if first:
            return list(blind.encode(text, add_special_tokens=False).ids)
        return list(blind.encode(self._before + text, add_special_tokens=False).ids[1:])

    def _spans(self, text: str) -> list[tuple[int, int]]:
        """Returns where `text` would give control tokens, and its end where that may begin one that a template
        completes."""
        spans = self._whole_spans(text)
        sizes = range(1, min(len(text), self._longest) + 1)
        if any(text[-size:] in self._beginnings for size in sizes) and (not spans or spans[-1][1] < len(text)):
            spans.append((len(text) - 1, len(text)))
        return spans

    def _whole_spans(self, text: str) -> list[tuple[int, int]]:
        spans = [match.span() for match in self._pattern.finditer(text)]
        if not self._normalized:
            return spans
        if len(self._pattern.findall(self._tokenizer.normalizer.normalize_str(text))) == len(spans):
            return spans
        encoding = self._tokenizer.encode(text, add_special_tokens=False)  # it spells one in letters of another form
        found = {encoding.offsets[at] for at, index in enumerate(encoding.ids) if index in self._texts}
        return _apart(sorted({*spans, *found}))

    def _replace(self, text: str, letters: Mapping[str, str]) -> str:
        pieces, done = [], 0
        for begin, end in self._spans(text):
            pieces += [text[done:begin], letters[text[begin:end]]]
            done = end
        return "".join((*pieces, text[done:]))

    def _found(self, text: str, encoding: Any) -> Iterator[int]:
        """The places among the tokens of those that the text spells (an unknown letter's token is not one)."""
        for at, (index, (begin, end)) in enumerate(zip(encoding.ids, encoding.offsets, strict=True)):
            if index in self._texts and text[begin:end].strip() == self._texts[index].strip():
                yield at

    def _blind_tokenizer(self) -> "Tokenizer":
        """The same tokenizer, but that no text gives a control token, and that a word of its own comes before text."""
        from tokenizers import AddedToken

        with self._lock:
            if self._blind is None:
                texts = set(self._texts.values())
                blind = _over_same_model(self._tokenizer, texts) or _without_control_tokens(self._tokenizer, texts)
                blind.add_tokens([AddedToken(self._before, normalized=False, special=False)])
                self._blind = blind
            return self._blind


def _over_same_model(tokenizer: "Tokenizer", texts: set[str]) -> "Tokenizer | None":
    """A tokenizer over the same model in memory, with all added tokens but the control tokens.

    None where the model itself makes control tokens of text, and where other added tokens would have other ids.
    """
    from tokenizers import Tokenizer, models

    model, added = tokenizer.model, tokenizer.get_added_tokens_decoder()
    if not isinstance(model, models.BPE) or model.ignore_merges:
        return None
    blind = Tokenizer(model)
    blind.normalizer, blind.pre_tokenizer = tokenizer.normalizer, tokenizer.pre_tokenizer
    blind.add_tokens([token for _, token in sorted(added.items()) if not token.special])
    moved = any(blind.token_to_id(token.content) != index for index, token in added.items() if not token.special)
    made = {index for text in texts for index in blind.encode(text, add_special_tokens=False).ids}
    return None if moved or any(added[index].special for index in made & added.keys()) else blind


def _without_control_tokens(tokenizer: "Tokenizer", texts: set[str]) -> "Tokenizer":
    """A copy in which the control tokens have names that no text has."""
    from tokenizers import Tokenizer

    document = json.loads(tokenizer.to_str())
    model = document["model"]
    renamed = {text: f"\ufdd1{secrets.token_hex(8)}{text}" for text in texts}
    for token in document["added_tokens"]:
        token["content"] = renamed.get(token["content"], token["content"])
    if isinstance(model["vocab"], dict):
        model["vocab"] = {renamed.get(text, text): index for text, index in model["vocab"].items()}
    else:  # of a Unigram model: pieces with their scores
        model["vocab"] = [[renamed.get(text, text), score] for text, score in model["vocab"]]
    if model.get("unk_token") in renamed:
        model["unk_token"] = renamed[model["unk_token"]]
    if "merges" in model:
        pairs = (merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"])
        model["merges"] = [pair for pair in pairs if not texts & {*pair, "".join(pair)}]
    return Tokenizer.from_str(json.dumps(document))


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _strings(key)
            yield from _strings(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _strings(each)


def _map_strings(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {_map_strings(key, change): _map_strings(each, change) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_map_strings(each, change) for each in value]
    return value


def _apart(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Those of the sorted spans that overlap none before them."""
    kept: list[tuple[int, int]] = []
    for begin, end in spans:
        if begin < end and (not kept or begin >= kept[-1][1]):
            kept.append((begin, end))
    return kept


def _table(stand_ins: StandIns) -> dict[int, str]:
    return {ord(letter): text for letter, text in stand_ins.items()}


def _escaped(letter: str) -> str:
    """The letter as JSON in ASCII has it."""
    return json.dumps(letter)[1:-1]


def _unescape(text: str, stand_ins: StandIns) -> str:
    """The letters where a template wrote them as JSON in ASCII, and what JSON makes of what they stand for."""
    for letter, spelled in stand_ins.items():
        written = json.dumps(spelled)[1:-1]
        text = text.replace(_escaped(letter), letter if written == spelled else written)
    return text
