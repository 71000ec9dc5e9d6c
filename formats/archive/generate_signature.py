"""Binds the entry points of kind `generate` by role, as far as this version can call them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sharkpack.formats.archive.generate_calls import (
    ANY_HIDDEN,
    ANY_WIDTH,
    GENERATE,
    HEAD,
    PREFILL_ROLES,
    batch_size,
    entry_point,
)
from sharkpack.formats.archive.memory import Memory, PagePool
from sharkpack.formats.archive.signature import ABI_VERSION, Argument, EntryPoint, Signature
from sharkpack.formats.cache_geometry import CACHE_ITEM_BYTES
from sharkpack.formats.errors import BundleUnsupportedError

_ROLES = frozenset({*PREFILL_ROLES, "logits", "hidden"})


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateSignature:
    """The functions that generate, and the sizes that they are called with. Lengths in tokens.

    prefill, decode: by batch size, ascending, the same sizes in both. head: None where logits are given of last tokens
    alone. logits_width: of a row of logits.
    """

    context_length: int
    vocab_size: int
    logits_width: int
    cache: PagePool
    prefill: Mapping[int, EntryPoint]
    decode: Mapping[int, EntryPoint]
    head: EntryPoint | None

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        return tuple(self.prefill)

    @property
    def page_size(self) -> int:
        return self.cache.page_size

    @property
    def reserved_pages(self) -> int:
        """Pages 0 to reserved_pages - 1 belong to no sequence."""
        return self.cache.reserved

    @property
    def max_pages_per_sequence(self) -> int:
        return -(-self.context_length // self.cache.page_size)


def generate_signature(signature: Signature) -> GenerateSignature:
    """Bind the entry points of kind `generate`, without those that this version cannot call.

    Raises BundleUnsupportedError, which names these and says why, if what is left does not generate.
    """
    entries = [entry for entry in signature.entry_points if entry.kind == GENERATE]
    if not entries:
        raise BundleUnsupportedError(
            f"this bundle does not generate text: it is for {', '.join(signature.tasks) or 'no task'}"
        )
    reasons = {entry.function: unavailable(entry, signature) for entry in entries}
    usable = {entry.function: entry for entry in entries if reasons[entry.function] is None}
    prefill, decode = (_by_batch_size(usable, kind) for kind in ("prefill", "decode"))
    sizes = sorted(prefill.keys() & decode.keys())
    if not sizes:
        named = "; ".join(f"{name} {reason}" for name, reason in reasons.items() if reason is not None)
        raise BundleUnsupportedError(
            "this sharkpack cannot generate with this bundle's program: "
            + (f"{named}: upgrade sharkpack" if named else "no prefill_bsN has a decode_bsN: build the bundle again")
        )
    logits = next(each for each in prefill[sizes[0]].outputs if each.role == "logits")
    assert logits.shape is not None
    assert isinstance(logits.shape[-1], int)
    return GenerateSignature(
        context_length=signature.context_length,
        vocab_size=signature.vocab_size,
        logits_width=logits.shape[-1],
        cache=next(each for each in signature.memory if isinstance(each, PagePool)),
        prefill={size: prefill[size] for size in sizes},
        decode={size: decode[size] for size in sizes},
        head=usable.get(HEAD),
    )


def unavailable(entry: EntryPoint, signature: Signature) -> str | None:
    """Why this version cannot call an entry point of kind `generate`: the end of a sentence about it, or None."""
    reasons = list(_reasons(entry, signature))
    return ", ".join(reasons) if reasons else None


def _by_batch_size(entries: Mapping[str, EntryPoint], kind: str) -> dict[int, EntryPoint]:
    batched = {batch_size(name): entry for name, entry in entries.items()}
    return {each[1]: entry for each, entry in batched.items() if each is not None and each[0] == kind}


def _reasons(entry: EntryPoint, signature: Signature) -> Iterator[str]:
    pool = next((each.name for each in signature.memory if isinstance(each, PagePool)), None)
    expected = entry_point(entry.function, pool, ANY_WIDTH, ANY_HIDDEN)
    if expected is None:
        yield "is a function that it does not know"
    unknown = list(dict.fromkeys(each.role for each in entry.arguments if each.role not in _ROLES))
    if unknown:
        yield f"has the unknown {'roles' if len(unknown) > 1 else 'role'} {', '.join(unknown)}"
    for name in dict.fromkeys(each.memory for each in entry.arguments):
        memory = signature.memory_named(name)
        if memory is not None:
            yield from _memory_reasons(memory, pool)
    if signature.version != ABI_VERSION:
        yield f"is of program ABI version {signature.version}, not {ABI_VERSION}"
    if expected is not None and not unknown:
        yield from _differences("takes", entry.inputs, expected.inputs)
        yield from _differences("returns", entry.outputs, expected.outputs)


def _memory_reasons(memory: Memory, pool: str | None) -> Iterator[str]:
    if not isinstance(memory, PagePool):
        yield f"uses the memory {memory.name!r} of kind {memory.kind!r}"
    elif memory.name != pool:
        yield f"uses {memory.name!r}, a second pool of pages"
    elif memory.dtype not in CACHE_ITEM_BYTES:
        yield f"uses the memory {memory.name!r} of {memory.dtype}, not of {', '.join(CACHE_ITEM_BYTES)}"


def _differences(verb: str, found: Sequence[Argument], expected: Sequence[Argument]) -> Iterator[str]:
    """Differences between what is declared and what this version would pass, or use."""
    by_role = {each.role: each for each in found}
    if len(by_role) != len(found):
        yield f"{verb} the same role twice"
    for wanted in expected:
        given = by_role.pop(wanted.role, None)
        if given is None and (verb, wanted.role) == ("returns", "hidden"):
            continue  # a module may do without
        if given is None or not _fits(given, wanted):
            yield f"{verb} {given or f'no {wanted.role}'} where {wanted} is known"
    if by_role:
        yield f"{verb} {', '.join(by_role)}, which has no meaning there"


def _fits(given: Argument, wanted: Argument) -> bool:
    if wanted.role == "memory":
        return given.memory == wanted.memory
    if (given.dtype, given.memory) != (wanted.dtype, wanted.memory) or given.shape is None or wanted.shape is None:
        return False
    if len(given.shape) != len(wanted.shape):
        return False
    return all(_size_fits(*sizes) for sizes in zip(given.shape, wanted.shape, strict=True))


def _size_fits(given: int | str, wanted: int | str) -> bool:
    """A size that each call chooses stands under any name; those that are the module's own may be any number."""
    if wanted == ANY_WIDTH:
        return isinstance(given, int)
    return wanted == ANY_HIDDEN or given == wanted or (isinstance(given, str) and isinstance(wanted, str))
