"""The tokenizer in a checkpoint's folder: tokenizer.json as it is, or tokenizer.model rebuilt."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from sharkpack.bundler.sources.json_file import read_utf8
from sharkpack.bundler.sources.tokenizer_files import TokenizerFiles
from sharkpack.bundler.tokenizer.added_tokens import with_added_tokens
from sharkpack.bundler.tokenizer.chat_templates import read_chat_templates, without_default
from sharkpack.bundler.tokenizer.loading_order import loading_order
from sharkpack.bundler.tokenizer.rebuild import rebuild_tokenizer
from sharkpack.bundler.tokenizer.rebuilt import RebuiltTokenizer
from sharkpack.bundler.tokenizer.rows import rowless_note, too_many, within_rows
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
    notes: tuple[str, ...] = ()


def read_tokenizer_files(files: TokenizerFiles) -> RebuiltTokenizer:
    """Read and check the tokenizer. Raises SharkpackError when there is none that can be read, when it does not load,
    and when it cuts text into tokens that the model has no embeddings for. What the model never needs is left out,
    with a note."""
    specials, templates = read_specials(files.folder, files.config), read_chat_templates(files.folder)
    loaded = _load(files)
    bos = _agreed(files.folder, "BOS", _id(loaded, specials.bos, loaded.bos), loaded.begin)
    eos = _agreed(files.folder, "EOS", _id(loaded, specials.eos, loaded.eos), loaded.end)
    add_bos = bool(loaded.begin) if specials.add_bos is None else specials.add_bos
    add_eos = bool(loaded.end) if specials.add_eos is None else specials.add_eos
    ends = {*specials.ends, *([] if eos is None else [eos])}
    return RebuiltTokenizer(
        json=loaded.json,
        add_bos=add_bos and bos is not None,
        add_eos=add_eos and eos is not None,
        bos_token_id=bos,
        eos_token_id=eos,
        end_token_ids=tuple(sorted(end for end in ends if 0 <= end < files.rows)),
        special_tokens=_names(specials, loaded, bos, eos),
        chat_templates=templates,
        notes=(*loaded.notes, *_notes(specials, loaded, templates, ends, files.rows)),
    )


def _load(files: TokenizerFiles) -> _Loaded:
    folder = files.folder
    if (folder / "tokenizer.json").is_file():
        return _load_json(folder / "tokenizer.json", files.rows)
    if (folder / "tokenizer.model").is_file():
        model = replace(read_sentencepiece_model(folder / "tokenizer.model"), rows=files.rows)
        source, left_out = with_added_tokens(model, folder)
        rebuilt = rebuild_tokenizer(source)
        bos, eos = rebuilt.bos_token_id, rebuilt.eos_token_id
        begin = (bos,) if rebuilt.add_bos and bos is not None else ()
        tokenizer = Tokenizer.from_buffer(rebuilt.json)
        notes = (*rebuilt.notes, *_left_out(left_out))
        return _Loaded(json=rebuilt.json, tokenizer=tokenizer, begin=begin, end=(), bos=bos, eos=eos, notes=notes)
    raise SharkpackError(
        f"{folder}: no tokenizer.json and no tokenizer.model; another kind of tokenizer can be converted: "
        "AutoTokenizer.from_pretrained(folder).save_pretrained(folder)"
    )


def _load_json(path: Path, rows: int) -> _Loaded:
    raw = read_utf8(path, MAX_BYTES)
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
    if max((*begin, *end), default=0) >= rows:
        raise too_many(path, 1 + max((*begin, *end)), rows)
    document, left_out = within_rows(path, document, rows)
    plain = {**document, "truncation": None, "padding": None, "post_processor": None}
    if document["model"].get("type") == "BPE":
        plain["model"] = {**document["model"], "vocab": loading_order(document["model"]["vocab"])}
    text = json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode()
    return _Loaded(json=text, tokenizer=_parse(path, text), begin=begin, end=end, notes=_left_out(left_out))


def _left_out(tokens: Mapping[int, str]) -> tuple[str, ...]:
    return (rowless_note(tokens),) if tokens else ()


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


def _id(loaded: _Loaded, token: str | int | None, default: int | None) -> int | None:
    """The token's id, if the vocabulary has it; failing that `default`."""
    if token is None:
        return default
    found: int | None = loaded.tokenizer.token_to_id(token) if isinstance(token, str) else token
    known = found is not None and found >= 0 and loaded.tokenizer.id_to_token(found) is not None
    return found if known else default


def _names(specials: Specials, loaded: _Loaded, bos: int | None, eos: int | None) -> dict[str, str]:
    """Returns the tokens that templates may write: as the files say, or, where none is there to say it, by the ids."""
    if specials.names:
        return dict(specials.names)
    ids = {"bos_token": bos, "eos_token": eos}
    return {name: loaded.tokenizer.id_to_token(index) for name, index in ids.items() if index is not None}


def _notes(
    specials: Specials, loaded: _Loaded, templates: Mapping[str, str], ends: Collection[int], rows: int
) -> Iterator[str]:
    for name, token in (("bos_token", specials.bos), ("eos_token", specials.eos)):
        if token is not None and _id(loaded, token, None) is None:
            yield f"the {name} {token!r} is not in the tokenizer's vocabulary: it is left out"
    outside = sorted(end for end in ends if not 0 <= end < rows)
    if outside:
        listed = ", ".join(map(str, outside))
        yield f"'eos_token_id' has ids outside the vocabulary of {rows}, {listed}: they are left out"
    warning = without_default(templates)
    if warning is not None:
        yield warning
