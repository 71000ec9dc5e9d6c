"""A checkpoint's tokenizer as GGUF's keys, which name a way to cut text into words instead of saying it."""

import json
import re
from collections.abc import Mapping
from typing import Any

from sharkpack.bundler.sources.metadata import Metadata
from sharkpack.bundler.sources.tokenizer_files import TokenizerFiles
from sharkpack.bundler.sources.tokenizer_source import TokenType, read_tokenizer_source
from sharkpack.bundler.tokenizer import SPECIAL_NAMES, RebuiltTokenizer
from sharkpack.bundler.tokenizer.pre_tokenizers import PRE_TOKENIZERS
from sharkpack.bundler.tokenizer.sentencepiece_model import read_sentencepiece_model
from sharkpack.bundler.tokenizer.vocabulary import read_vocabulary
from sharkpack.bundler.tokenizer.word_patterns import GPT2
from sharkpack.formats.errors import SharkpackError

# Of the names for one way to cut, those of the models that are met most.
_WELL_KNOWN = ("llama-bpe", "qwen2", "smollm", "gpt-2", "deepseek-v3", "gpt-4o", "tekken")
# As models publish it, and as llama.cpp and so PRE_TOKENIZERS spell it.
_SAME_WORDS = (
    (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)", r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"),
    (r"(?i:[sdmt]|ll|ve|re)", r"(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])"),
)
_SPACE = "\u2581"
_BYTE = re.compile("<0x[0-9A-F]{2}>")
_DIGIT = r"\p{N}"
_NOT_IN_NAMES = re.compile("[^A-Za-z0-9]")


def tokenizer_keys(files: TokenizerFiles, tokenizer: RebuiltTokenizer) -> dict[str, Any]:
    """`tokenizer.*` keys and values of the tokenizer read from `files`, padded to the rows of the embedding.

    Raises SharkpackError for a tokenizer that is neither byte-level BPE nor SentencePiece's BPE, and for one that cuts
    words in a way that GGUF has no name for here.
    """
    model = files.folder / "tokenizer.model"
    document = json.loads(tokenizer.json)
    if model.is_file():
        keys = _sentencepiece(files, document)
    else:
        keys = (_scored if document["model"].get("byte_fallback") else _byte_level)(files, document)
    keys |= {"add_bos_token": tokenizer.add_bos, "add_eos_token": tokenizer.add_eos}
    found = {text: index for index, text in enumerate(keys["tokens"])}
    ids = {key: found.get(tokenizer.special_tokens.get(name, "")) for key, name in SPECIAL_NAMES.items()}
    ids |= {"bos": tokenizer.bos_token_id, "eos": tokenizer.eos_token_id}
    keys |= {f"{key}_token_id": index for key, index in ids.items() if index is not None}
    whole = {f"tokenizer.ggml.{key}": value for key, value in keys.items()}
    return whole | _end_keys(files, tokenizer, whole) | _chat_keys(tokenizer.chat_templates)


def _end_keys(files: TokenizerFiles, tokenizer: RebuiltTokenizer, keys: Mapping[str, Any]) -> dict[str, int]:
    """EOT and EOM are what further ends can be, which are known neither as EOS nor by their names."""
    known = read_vocabulary(read_tokenizer_source(Metadata(path=files.folder, values=keys), files.rows)).end_ids
    further = [end for end in tokenizer.end_token_ids if end not in known and end != tokenizer.eos_token_id]
    return {f"tokenizer.ggml.{name}_token_id": end for name, end in zip(("eot", "eom"), further, strict=False)}


def _chat_keys(templates: Mapping[str, str]) -> dict[str, Any]:
    """Named templates have keys that end in their names, in which GGUF has letters and digits alone."""
    named = {_NOT_IN_NAMES.sub("_", name): text for name, text in sorted(templates.items()) if name != "default"}
    keys: dict[str, Any] = {f"tokenizer.chat_template.{name}": text for name, text in named.items()}
    if named:
        keys["tokenizer.chat_templates"] = list(named)
    if "default" in templates:
        keys["tokenizer.chat_template"] = templates["default"]
    return keys


def _byte_level(files: TokenizerFiles, document: dict[str, Any]) -> dict[str, Any]:
    model = document["model"]
    if model.get("type") != "BPE":
        raise _no_words(files, f"is a {model.get('type')} model; it has them for BPE")
    tokens = _by_id(model["vocab"], files.rows)
    types = [TokenType.UNUSED if token is None else TokenType.NORMAL for token in tokens]
    _add(document, tokens, types)
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    return {
        "model": "gpt2",
        "pre": _pre_tokenizer(files, document),
        "tokens": _named(tokens),
        "token_type": [int(kind) for kind in types],
        "merges": merges,
    }


def _scored(files: TokenizerFiles, document: dict[str, Any]) -> dict[str, Any]:
    """A vocabulary that was SentencePiece's: what a later merge makes has a lower score."""
    model, normalizer = document["model"], json.dumps(document.get("normalizer"), ensure_ascii=False)
    metaspace = document.get("pre_tokenizer") or {}
    if model.get("type") != "BPE" or not (_SPACE in normalizer or metaspace.get("type") == "Metaspace"):
        raise _no_words(files, "falls back to bytes, and does not write spaces as SentencePiece does")
    tokens = _by_id(model["vocab"], files.rows)
    ranks: dict[str, int] = {}
    for rank, merge in enumerate(model["merges"]):
        ranks.setdefault("".join(merge.split(" ") if isinstance(merge, str) else merge), rank)
    types = [_type_of(token, model.get("unk_token")) for token in tokens]
    _add(document, tokens, types)
    return {
        "model": "llama",
        "tokens": _named(tokens),
        "scores": [-float(ranks.get(token or "", len(ranks))) for token in tokens],
        "token_type": [int(kind) for kind in types],
        "add_space_prefix": "Prepend" in normalizer or metaspace.get("prepend_scheme", "never") != "never",
    }


def _type_of(token: str | None, unknown: str | None) -> TokenType:
    if token is None:
        return TokenType.UNUSED
    if token == unknown:
        return TokenType.UNKNOWN
    return TokenType.BYTE if _BYTE.fullmatch(token) else TokenType.NORMAL


def _no_words(files: TokenizerFiles, problem: str) -> SharkpackError:
    return SharkpackError(
        f"{files.folder}: GGUF has no words for its tokenizer.json, which {problem}; "
        "put the tokenizer.model beside it if there is one, or convert to .irpa, which has no tokenizer"
    )


def _sentencepiece(files: TokenizerFiles, document: dict[str, Any]) -> dict[str, Any]:
    source = read_sentencepiece_model(files.folder / "tokenizer.model")
    missing = files.rows - len(source.tokens)
    tokens: list[str | None] = [*source.tokens, *[None] * missing]
    types = [TokenType(kind) for kind in source.token_types or ()] + [TokenType.UNUSED] * missing
    _add(document, tokens, types)
    return {
        "model": "llama",
        "tokens": _named(tokens),
        "scores": [*map(float, source.scores or ()), *[-1000.0] * missing],
        "token_type": [int(kind) for kind in types],
        "add_space_prefix": source.add_space_prefix is not False,
        **{f"{name}_token_id": index for name, index in source.special_ids.items() if 0 <= index < len(tokens)},
    }


def _by_id(vocabulary: dict[str, int], rows: int) -> list[str | None]:
    tokens: list[str | None] = [None] * rows
    for token, index in vocabulary.items():
        tokens[index] = token
    return tokens


def _add(document: dict[str, Any], tokens: list[str | None], types: list[TokenType]) -> None:
    """Put the tokens that are found in a text before all else in their places."""
    for added in document.get("added_tokens") or ():
        tokens[added["id"]] = added["content"]
        types[added["id"]] = TokenType.CONTROL if added.get("special") else TokenType.USER_DEFINED


def _named(tokens: list[str | None]) -> list[str]:
    """Rows of the embedding that no token has are given names, as llama.cpp's converter gives them."""
    return [f"[PAD{index}]" if token is None else token for index, token in enumerate(tokens)]


def _pre_tokenizer(files: TokenizerFiles, document: dict[str, Any]) -> str:
    """GGUF's name for the way that the tokenizer cuts text into words."""
    patterns = _patterns(document.get("pre_tokenizer") or {})
    whole = bool(document["model"].get("ignore_merges"))
    names = [
        name for name, each in PRE_TOKENIZERS.items() if each.patterns == patterns and each.whole_words == whole
    ] or [name for name, each in PRE_TOKENIZERS.items() if each.patterns == patterns]
    if not names:
        raise SharkpackError(
            f"{files.folder}: its tokenizer cuts words in a way that GGUF has no name for here; "
            "convert to .irpa, which has no tokenizer, or start from a GGUF file of the model"
        )
    return next((name for name in _WELL_KNOWN if name in names), names[0])


def _patterns(step: dict[str, Any]) -> tuple[str, ...]:
    """The regular expressions that a pre-tokenizer cuts by, in their order; an unknown kind of step matches none."""
    match step.get("type"):
        case "Sequence":
            return tuple(pattern for each in step["pretokenizers"] for pattern in _patterns(each))
        case "Split" if step.get("behavior") == "Isolated" and not step.get("invert"):
            pattern = step["pattern"]
            return (_spelled(pattern["Regex"] if "Regex" in pattern else re.escape(pattern["String"])),)
        case "Digits":
            return (_DIGIT if step.get("individual_digits") else rf"{_DIGIT}+",)
        case "ByteLevel":
            return GPT2 if step.get("use_regex", True) else ()
        case kind:
            return (f"a step of the kind {kind}",)


def _spelled(pattern: str) -> str:
    for published, ours in _SAME_WORDS:
        pattern = pattern.replace(published, ours)
    return pattern
