"""Values of one cache line, taken apart into the registers of an instruction set and put together again."""

from collections.abc import Sequence

from sharkpack.templates.kernels.emitter import Emitter

LINE = 64
"""Bytes of every value of 16 lanes of 32 bits, or 64 bytes."""


def vector(count: int, element: str) -> str:
    return f"vector<{count}x{element}>"


def split(e: Emitter, value: str, element: str, count: int) -> list[str]:
    """The registers of a vector of `count` elements that fills a line, in order."""
    parts = LINE // e.isa.register_bytes
    if parts == 1:
        return [value]
    each, kind = count // parts, vector(count, element)
    orders = [", ".join(map(str, range(i * each, (i + 1) * each))) for i in range(parts)]
    return [e.op(f"vector.shuffle {value}, {value} [{order}] : {kind}, {kind}") for order in orders]


def join(e: Emitter, parts: Sequence[str], element: str, count: int) -> str:
    """The vector of `count` elements that those registers make."""
    while len(parts) > 1:
        each = count // len(parts)
        order = ", ".join(map(str, range(2 * each)))
        kind = vector(each, element)
        parts = [
            e.op(f"vector.shuffle {low}, {high} [{order}] : {kind}, {kind}")
            for low, high in zip(parts[::2], parts[1::2], strict=True)
        ]
    return parts[0]


def intrinsic(e: Emitter, name: str, arguments: Sequence[str], types: Sequence[str], result: str) -> str:
    """Call an LLVM intrinsic: one instruction."""
    return e.op(f'llvm.call_intrinsic "{name}"({", ".join(arguments)}) : ({", ".join(types)}) -> {result}')
