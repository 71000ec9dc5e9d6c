"""The functions of kind `generate` as ABI version 1 has them: what docs/format.md says in words."""

import re
from collections.abc import Iterable

from sharkpack.formats.archive.memory import PagePool
from sharkpack.formats.archive.signature import Argument, EntryPoint, Signature

GENERATE = "generate"
HEAD = "head"
ANY_WIDTH, ANY_HIDDEN = "V", "D"
"""Names of the sizes that are the module's own: logits of a row, elements of a row of `hidden`."""

PREFILL_ROLES = ("tokens", "start_positions", "seq_lens", "page_table", "memory")
DECODE_ROLES = ("tokens", "seq_lens", "start_positions", "page_table", "memory")
"""Roles in the order in which compiled programs take them; a runtime takes the order from the manifest."""

_BATCHED = re.compile(r"(prefill|decode)_bs([1-9][0-9]{0,3})")


def paged_signature(
    *,
    batch_sizes: Iterable[int],
    context_length: int,
    vocab_size: int,
    pool: PagePool,
    hidden_size: int | None = None,
    scores: bool = True,
) -> Signature:
    """`prefill_bs{N}` and `decode_bs{N}` for each batch size N, over one pool of pages; and where the module `scores`
    all tokens, not the last alone, `head` and the result of prefill that it takes."""
    hidden = hidden_size or ANY_HIDDEN
    names = [f"{kind}_bs{size}" for size in sorted(set(batch_sizes)) for kind in ("prefill", "decode")]
    names += [HEAD] if scores else []
    entries = (entry_point(name, pool.name, vocab_size, hidden, scores=scores) for name in names)
    return Signature(
        context_length=context_length,
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        entry_points=tuple(entry for entry in entries if entry is not None),
        memory=(pool,),
    )


def batch_size(function: str) -> tuple[str, int] | None:
    """("prefill" or "decode", N) of a function that is called so."""
    found = _BATCHED.fullmatch(function)
    return (found[1], int(found[2])) if found else None


def entry_point(
    function: str, memory: str | None, width: int | str, hidden: int | str, *, scores: bool = True
) -> EntryPoint | None:
    """The function of that name, with logits `width` wide and rows of `hidden`; None where there is none so called."""
    if function == HEAD:
        inputs, outputs = (_hidden("R", hidden),), (_logits("R", width),)
        return EntryPoint(kind=GENERATE, function=function, inputs=inputs, outputs=outputs)
    found = batch_size(function)
    if found is None:
        return None
    kind, size = found
    prefill = kind == "prefill"
    roles = PREFILL_ROLES if prefill else DECODE_ROLES
    results: tuple[Argument, ...] = (_logits(size, width), Argument(role="memory", memory=memory))
    if prefill and scores:
        results = (*results, _hidden(f"{size}*S", hidden))
    arguments = (_input(role, size, "S" if prefill else 1, memory) for role in roles)
    return EntryPoint(kind=GENERATE, function=function, inputs=tuple(arguments), outputs=results)


def _input(role: str, size: int, tokens: int | str, memory: str | None) -> Argument:
    if role == "memory":
        return Argument(role=role, memory=memory)
    if role == "page_table":
        return Argument(role=role, memory=memory, dtype="i64", shape=(size, "P"))
    return Argument(role=role, dtype="i64", shape=(size, tokens) if role == "tokens" else (size,))


def _logits(rows: int | str, width: int | str) -> Argument:
    return Argument(role="logits", dtype="f32", shape=(rows, width))


def _hidden(rows: int | str, width: int | str) -> Argument:
    return Argument(role="hidden", dtype="f32", shape=(rows, width))
