"""The tokens of a vocabulary, their kinds, and which of them end a text: the rules are llama.cpp's.

Knows ids and texts; not how text is cut into tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sharkpack.bundler.sources.tokenizer_source import TokenizerSource, TokenType
from sharkpack.bundler.tokenizer.rows import cut_into, rowless_note, too_many

# Tokens that end a text by their name alone, whatever the file says of them.
END_TEXTS = (
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<\uff5cend\u2581of\u2581sentence\uff5c>",
    "[e~[",
)
# Tokens of fill-in-the-middle models: one text of each row is looked for where the file gives no id.
_FILL_IN_TEXTS = {
    "fim_pre": (
        "<|fim_prefix|>",
        "<fim-prefix>",
        "<fim_prefix>",
        "<\uff5cfim\u2581begin\uff5c>",
        "<PRE>",
        "\u2581<PRE>",
        "<|code_prefix|>",
        "<|prefix|>",
    ),
    "fim_suf": (
        "<|fim_suffix|>",
        "<fim-suffix>",
        "<fim_suffix>",
        "<\uff5cfim\u2581hole\uff5c>",
        "<SUF>",
        "\u2581<SUF>",
        "<|code_suffix|>",
        "<|suffix|>",
    ),
    "fim_mid": (
        "<|fim_middle|>",
        "<fim-middle>",
        "<fim_middle>",
        "<\uff5cfim\u2581end\uff5c>",
        "<MID>",
        "\u2581<MID>",
        "<|code_middle|>",
        "<|middle|>",
    ),
    "fim_pad": ("<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"),
    "fim_rep": ("<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"),
    "fim_sep": ("<|file_sep|>",),
}
_ENDING_FILL_INS = ("fim_pad", "fim_rep", "fim_sep")
_ALWAYS_TEXT = ("<|channel|>", "<|message|>", "<|start|>", "<|constrain|>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """`tokens` and `kinds` by id; `ids` by token; `special_ids` as the file has them, those outside left out."""

    tokens: Sequence[str] = field(repr=False)
    kinds: Sequence[int] = field(repr=False)
    ids: dict[str, int] = field(repr=False)
    special_ids: dict[str, int]
    end_ids: tuple[int, ...]
    notes: tuple[str, ...] = ()


def read_vocabulary(source: TokenizerSource) -> Vocabulary:
    """Settle the kind of every token and which ones end a text.

    Tokens without a row of the embedding are left out; of several with one text, the last is what the text becomes.
    Raises SharkpackError where a text may need one that is left out.
    """
    whole = [token or f"[EMPTY_{index}]" for index, token in enumerate(source.tokens)]
    all_kinds = list(source.token_types or [TokenType.NORMAL] * len(whole))
    tokens, kinds = whole[: source.rows], all_kinds[: source.rows]
    left_out = dict(enumerate(whole[len(tokens) :], len(tokens)))
    _check_unneeded(source, left_out, all_kinds)
    ids = {token: index for index, token in enumerate(tokens)}
    # An id outside the vocabulary (-1 written as 2^32 - 1, for example) means that there is no such token.
    special_ids = {name: index for name, index in source.special_ids.items() if 0 <= index < len(tokens)}
    fill_ins = _find_fill_ins(ids, kinds, special_ids)
    ends = _find_ends(ids, kinds, special_ids | fill_ins)
    notes = [rowless_note(left_out)] if left_out else []
    if len(ids) != len(tokens):
        notes.append(_duplicates_note(tokens, ids))
    return Vocabulary(tokens=tokens, kinds=kinds, ids=ids, special_ids=special_ids, end_ids=ends, notes=tuple(notes))


def _check_unneeded(source: TokenizerSource, left_out: dict[int, str], kinds: Sequence[int]) -> None:
    """Refuse to leave out tokens that a text is cut into."""
    texts = {text for index, text in left_out.items() if kinds[index] in (TokenType.NORMAL, TokenType.BYTE)}
    if source.merges is not None:
        texts &= cut_into(source.merges) | {text for text in texts if len(text) == 1}
    if texts or len(left_out) == len(source.tokens):
        raise too_many(source.path, len(source.tokens), len(source.tokens) - len(left_out))


def _duplicates_note(tokens: Sequence[str], ids: dict[str, int]) -> str:
    unused = [index for index, token in enumerate(tokens) if ids[token] != index]
    first = unused[0]
    more = f", and so of {len(unused) - 1} more" if len(unused) > 1 else ""
    return (
        f"the tokens {first} and {ids[tokens[first]]} have one text, {tokens[first]!r}: it becomes the latter, and the "
        f"former prints nothing{more}"
    )


def _find_fill_ins(ids: dict[str, int], kinds: list[int], special_ids: dict[str, int]) -> dict[str, int]:
    found = {}
    for name, texts in _FILL_IN_TEXTS.items():
        known = [ids[text] for text in texts if text in ids]
        if name not in special_ids and known:
            found[name] = known[0]
            kinds[known[0]] = TokenType.CONTROL
    return found


def _find_ends(ids: dict[str, int], kinds: list[int], special_ids: dict[str, int]) -> tuple[int, ...]:
    named = {text: ids[text] for text in END_TEXTS if text in ids}
    for index in named.values():
        kinds[index] = TokenType.CONTROL
    for text in _ALWAYS_TEXT:
        if text in ids:
            kinds[ids[text]] = TokenType.USER_DEFINED
    ends = set(named.values())
    ends |= {special_ids[name] for name in ("eos", "eot", "eom", *_ENDING_FILL_INS) if name in special_ids}
    texts = {text for text, index in ids.items() if index in ends}
    # Vocabularies in which "<|end|>" closes one part of a message, not the message.
    if "<|end|>" in texts and texts & {"<|call|>", "<|calls|>"} and texts & {"<|return|>", "<|flush|>"}:
        ends.discard(ids["<|end|>"])
        kinds[ids["<|end|>"]] = TokenType.USER_DEFINED
    # Vocabularies in which "</s>" is markup like any other.
    if texts & {"<|tool_response>", "<|plamo:eos|>"} and "</s>" in texts:
        ends.discard(ids["</s>"])
        kinds[ids["</s>"]] = TokenType.NORMAL
    return tuple(sorted(ends))
