"""The tokenizer in a checkpoint's folder: tokenizer.json as it is, or tokenizer.model rebuilt."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from sharkpack.bundler.sources.json_file import read_bytes
from sharkpack.bundler.sources.tokenizer_files import TokenizerFiles
from sharkpack.bundler.tokenizer.added_tokens import with_added_tokens
from sharkpack.bundler.tokenizer.loading_order import loading_order
from sharkpack.bundler.tokenizer.rebuild import rebuild_tokenizer
from sharkpack.bundler.tokenizer.rebuilt import RebuiltTokenizer
from sharkpack.bundler.tokenizer.sentencepiece_model import read_sentencepiece_model
from sharkpack.bundler.tokenizer.specials import Specials, read_specials
from sharkpack.formats.errors import SharkpackError

MAX_BYTES = 256 << 20
DECODERS = frozenset({"Sequence", "ByteLevel", "Replace", "Metaspace", "ByteFallback", "Fuse", "Strip"})
"""Those that turn a token into text without its neighbours, which is how text is streamed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    """A tokenizer.json that adds no token of its own; `begin` and `end`: those that it added before.

    `bos` and `eos` are what holds where no other file names them.
    """

    json: bytes
    tokenizer: Any
    begin: tuple[int, ...]
    end: tuple[int, ...]
    bos: int | None = None
    eos: int | None = None


def read_tokenizer_files(files: TokenizerFiles) -> RebuiltTokenizer:
    """Read and check the tokenizer. Raises SharkpackError when there is none that can be read, when it does not load,
    and when it has more tokens than the model has embeddings."""
    specials = read_specials(files.folder, files.config)
    loaded = _load(files.folder)
    _check_size(files, loaded.tokenizer)
    bos = _agreed(files.folder, "BOS", _id(files.folder, loaded, specials.bos, loaded.bos), loaded.begin)
    eos = _agreed(files.folder, "EOS", _id(files.folder, loaded, specials.eos, loaded.eos), loaded.end)
    add_bos = bool(loaded.begin) if specials.add_bos is None else specials.add_bos
    add_eos = bool(loaded.end) if specials.add_eos is None else specials.add_eos
    return RebuiltTokenizer(
        json=loaded.json,
        add_bos=add_bos and bos is not None,
        add_eos=add_eos and eos is not None,
        bos_token_id=bos,
        eos_token_id=eos,
        end_token_ids=_end_ids(files, specials, eos),
        bos_token=None if bos is None else loaded.tokenizer.id_to_token(bos),
        eos_token=None if eos is None else loaded.tokenizer.id_to_token(eos),
        chat_template=specials.chat_template,
    )


def _load(folder: Path) -> _Loaded:
    if (folder / "tokenizer.json").is_file():
        return _load_json(folder / "tokenizer.json")
    if (folder / "tokenizer.model").is_file():
        rebuilt = rebuild_tokenizer(with_added_tokens(read_sentencepiece_model(folder / "tokenizer.model"), folder))
        bos, eos = rebuilt.bos_token_id, rebuilt.eos_token_id
        begin = (bos,) if rebuilt.add_bos and bos is not None else ()
        tokenizer = Tokenizer.from_buffer(rebuilt.json)
        return _Loaded(json=rebuilt.json, tokenizer=tokenizer, begin=begin, end=(), bos=bos, eos=eos)
    raise SharkpackError(
        f"{folder}: no tokenizer.json and no tokenizer.model; another kind of tokenizer can be converted: "
        "AutoTokenizer.from_pretrained(folder).save_pretrained(folder)"
    )


def _load_json(path: Path) -> _Loaded:
    raw = read_bytes(path, MAX_BYTES)
    whole = _parse(path, raw)
    whole.no_truncation()
    whole.no_padding()
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise SharkpackError(f"{path} is not a tokenizer: {error}") from error
    decoder = document.get("decoder") or {}
    kinds = {step["type"] for step in (decoder, *decoder.get("decoders", ())) if "type" in step}
    if not kinds or kinds - DECODERS:
        raise SharkpackError(f"{path}: its decoder ({', '.join(sorted(kinds)) or 'none'}) is not supported")
    begin, end = _added_around(path, whole)
    plain = {**document, "truncation": None, "padding": None, "post_processor": None}
    if document["model"].get("type") == "BPE":
        plain["model"] = {**document["model"], "vocab": loading_order(document["model"]["vocab"])}
    text = json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode()
    return _Loaded(json=text, tokenizer=_parse(path, text), begin=begin, end=end)


def _parse(path: Path, text: bytes) -> Any:
    try:
        return Tokenizer.from_buffer(text)
    except Exception as error:  # the package raises nothing more precise
        raise SharkpackError(f"{path} is not a tokenizer that can be loaded: {error}") from error


def _added_around(path: Path, tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The tokens that are put before and after a text."""
    plain, whole = (tuple(tokenizer.encode("a", add_special_tokens=added).ids) for added in (False, True))
    for at in range(len(whole) - len(plain) + 1):
        if plain and whole[at : at + len(plain)] == plain:
            return whole[:at], whole[at + len(plain) :]
    raise SharkpackError(f"{path}: its post-processor does more than to put tokens around a text")


def _agreed(folder: Path, name: str, token: int | None, added: Sequence[int]) -> int | None:
    """The one token that the files name and the tokenizer adds, if it adds one."""
    if not added:
        return token
    if len(added) > 1 or token not in (None, added[0]):
        raise SharkpackError(
            f"{folder}: tokenizer.json puts tokens {list(added)} around a text, and the {name} token is {token}; "
            "only that one can be added"
        )
    return added[0]


def _check_size(files: TokenizerFiles, tokenizer: Any) -> None:
    """More embeddings than tokens are padding; fewer would leave tokens without one."""
    size = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1
    if not 0 < size <= files.rows:
        raise SharkpackError(
            f"{files.folder}: the tokenizer has {size} tokens, and the model embeddings for {files.rows}"
        )


def _id(folder: Path, loaded: _Loaded, token: str | int | None, default: int | None) -> int | None:
    if token is None:
        return default
    found: int | None = loaded.tokenizer.token_to_id(token) if isinstance(token, str) else token
    if found is None or found < 0 or loaded.tokenizer.id_to_token(found) is None:
        raise SharkpackError(f"{folder}: the special token {token!r} is not in the tokenizer's vocabulary")
    return found


def _end_ids(files: TokenizerFiles, specials: Specials, eos: int | None) -> tuple[int, ...]:
    ends = sorted({*specials.ends, *([] if eos is None else [eos])})
    if ends and not 0 <= ends[0] <= ends[-1] < files.rows:
        raise SharkpackError(f"{files.folder}: 'eos_token_id' {ends} has ids outside the vocabulary of {files.rows}")
    return tuple(ends)
