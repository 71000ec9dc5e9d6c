"""The calls that a signature promises, argument by argument: what docs/format.md says in words."""

from dataclasses import dataclass

from sharkpack.formats.archive.signature import Signature

PREFILL_INPUTS = ("tokens", "start_positions", "seq_lens", "page_ids", "cache")
DECODE_INPUTS = ("tokens", "seq_lens", "start_positions", "page_ids", "cache")


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One tensor of a call. `shape` has a number where a dimension is fixed and a name where each call chooses it."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryPoint:
    """A function of a module, its inputs and outputs in order."""

    name: str
    inputs: tuple[Argument, ...]
    outputs: tuple[Argument, ...]


def entry_points(signature: Signature) -> tuple[EntryPoint, ...]:
    """`prefill_bs{N}` and `decode_bs{N}` for each batch size N, and `head`."""
    found = []
    for size in signature.batch_sizes:
        found.append(_entry(f"prefill_bs{size}", PREFILL_INPUTS, size, "S", signature))
        found.append(_entry(f"decode_bs{size}", DECODE_INPUTS, size, 1, signature))
    head = EntryPoint(name="head", inputs=(_hidden("R"),), outputs=(_logits("R", signature),))
    return (*found, head)


def _entry(name: str, inputs: tuple[str, ...], size: int, tokens: int | str, signature: Signature) -> EntryPoint:
    cache = Argument(name="cache", dtype=signature.cache.dtype, shape=("pages", signature.cache.page_elements))
    shapes: dict[str, tuple[int | str, ...]] = {"tokens": (size, tokens), "page_ids": (size, "P")}
    made = tuple(
        cache if each == "cache" else Argument(name=each, dtype="i64", shape=shapes.get(each, (size,)))
        for each in inputs
    )
    outputs: tuple[Argument, ...] = (_logits(size, signature), cache)
    if name.startswith("prefill"):
        outputs = (*outputs, _hidden(f"{size}*{tokens}"))
    return EntryPoint(name=name, inputs=made, outputs=outputs)


def _logits(rows: int | str, signature: Signature) -> Argument:
    return Argument(name="logits", dtype="f32", shape=(rows, signature.vocab_size))


def _hidden(rows: int | str) -> Argument:
    return Argument(name="hidden", dtype="f32", shape=(rows, "D"))
