"""Two kernels that do nothing but saturate: one reads memory, one multiplies bytes. Written as sharkpack's are."""

from sharkpack.templates.kernels.dot import dot16
from sharkpack.templates.kernels.emitter import I8, I32, Binding, Emitter
from sharkpack.templates.kernels.isa import Isa
from sharkpack.templates.kernels.kernel import Kernel

ROW_WORDS = 1 << 19
"""32-bit words of a row of the buffer that `streaming_sum` reads: 2 MiB, one workgroup's part."""

SCOPE = "benchmark"
"""Of the parameter that is read."""

DOT_TILES, DOT_TOKENS = 3, 4
DOT_LOOPS = 32_768
DOT_MACS_PER_ROW = DOT_TILES * DOT_TOKENS * DOT_LOOPS * 256


def streaming_sum(streams: int, prefetch_l2: tuple[int, ...], prefetch_l1: tuple[int, ...]) -> Kernel:
    """Sums of each row of `data`; a row is read as `streams` streams side by side, 4 accumulators each, and asked for
    at each of these distances in bytes, into the second-level cache and into the first."""

    def body(e: Emitter) -> None:
        part = ROW_WORDS // streams

        def read(at: str, sums: list[str]) -> list[str]:
            found: list[str] = []
            for stream in range(streams):
                for line in range(4):
                    word = e.add(at, stream * part + 16 * line)
                    for level, distances in ((2, prefetch_l2), (1, prefetch_l1)):
                        for distance in distances:
                            e.prefetch("data", f"%group_x, {e.add(word, distance // 4)}", level)
                    value = e.load("data", ["%group_x", word], I32)
                    e.keep_order()
                    found.append(e.op(f"arith.addi {sums[len(found)]}, {value} : {I32}"))
            return found

        sums = e.loop("%origin", e.index(part), 64, [e.integers(0)] * (4 * streams), I32, read)
        _store_total(e, sums)

    return Kernel(
        name="_".join(map(str, ("streaming_sum", streams, "l2", *prefetch_l2, "l1", *prefetch_l1))),
        bindings=(
            Binding.of("data", f"?x{ROW_WORDS}xi32"),
            Binding.of("sums", "?x16xi32", access="write"),
        ),
        body=body,
        dimensions={"rows": ("data", 0)},
        row_tile=1,
    )


def integer_dots() -> Kernel:
    """A kernel of integer dot products alone, of 4-bit codes: DOT_MACS_PER_ROW multiply-adds a row of `codes`."""

    def body(e: Emitter) -> None:
        vectors = [e.load("codes", ["%group_x", e.index(64 * i)], I8) for i in range(4 * DOT_TILES)]
        tiles = [vectors[4 * i : 4 * i + 4] for i in range(DOT_TILES)]

        def multiply(step: str, sums: list[str]) -> list[str]:
            # Not the same words in each step: their products would be moved out of the loop.
            at = e.op(f"arith.remui {step}, {e.index(16)} : index")
            found: list[str] = []
            for token in range(DOT_TOKENS):
                words = [e.load_scalar("words", ["%group_x", e.add(at, 4 * token + i)]) for i in range(4)]
                for codes in tiles:
                    found.append(dot16(e, sums[len(found)], codes, words, 4))
            return found

        zeros = [e.integers(0)] * (DOT_TILES * DOT_TOKENS)
        sums = e.loop("%origin", e.index(DOT_LOOPS), 1, zeros, I32, multiply)
        _store_total(e, sums)

    return Kernel(
        name="integer_dots",
        bindings=(
            Binding.of("codes", f"?x{256 * DOT_TILES}xi8"),
            Binding.of("words", "?x32xi32"),
            Binding.of("sums", "?x16xi32", access="write"),
        ),
        body=body,
        dimensions={"rows": ("codes", 0)},
        row_tile=1,
    )


def _store_total(e: Emitter, sums: list[str]) -> None:
    total = sums[0]
    for more in sums[1:]:
        total = e.op(f"arith.addi {total}, {more} : {I32}")
    e.store(total, "sums", ["%group_x", "%origin"], I32)


def reading_text(readers: list[Kernel], rows: int, isa: Isa) -> str:
    """A module with the parameter "weights" of `rows` rows, and a function `read_<name>` for each reader of it."""
    kind = f"tensor<{rows}x{ROW_WORDS}xi32>"
    parts = [reader.layout_alias for reader in readers] + ["module @module {"]
    parts.append(f'util.global private @weights = #flow.parameter.named<"{SCOPE}"::"weights"> : {kind}')
    for reader in readers:
        parts += [
            reader.render(isa),
            f"func.func @read_{reader.name}() -> tensor<?x16xi32> {{",
            f"  %weights = util.global.load @weights : {kind}",
            f"  %data = tensor.cast %weights : {kind} to tensor<?x{ROW_WORDS}xi32>",
            f"  %made = util.call @{reader.name}(%data) : (tensor<?x{ROW_WORDS}xi32>) -> tensor<?x16xi32>",
            "  return %made : tensor<?x16xi32>\n}",
        ]
    return "\n".join([*parts, "}"])


def module_text(kernels: list[Kernel], isa: Isa) -> str:
    """A module that exports each kernel's function as `call_<name>`; every kernel has one output."""
    parts = [kernel.layout_alias for kernel in kernels] + ["module @module {"]
    for kernel in kernels:
        inputs = [binding for binding in kernel.bindings if binding.access == "read"]
        (output,) = (binding for binding in kernel.bindings if binding.access == "write")
        arguments = ", ".join(f"%{binding.name}: tensor<{binding.tensor}>" for binding in inputs)
        names = ", ".join(f"%{binding.name}" for binding in inputs)
        types = ", ".join(f"tensor<{binding.tensor}>" for binding in inputs)
        result = f"tensor<{output.tensor}>"
        parts += [
            kernel.render(isa),
            f"func.func @call_{kernel.name}({arguments}) -> {result} {{",
            f"  %made = util.call @{kernel.name}({names}) : ({types}) -> {result}",
            f"  return %made : {result}\n}}",
        ]
    return "\n".join([*parts, "}"])
