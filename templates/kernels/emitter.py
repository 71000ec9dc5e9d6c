"""Writes the body of one kernel as MLIR text: fresh names, constants, loops, bindings. Knows no operation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Self

from sharkpack.templates.kernels.isa import Isa

LANES = 16
"""A vector is 16 lanes of 32 bits, one cache line; LLVM splits it where registers are narrower."""

F32 = "vector<16xf32>"
I32 = "vector<16xi32>"
I8 = "vector<64xi8>"

Access = Literal["read", "write", "update"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """One buffer of a kernel: its name, its memref type inside the kernel, its tensor type in the program.

    A leading `?` in either is the number of rows, known at run time. `access` "update" is written in place.
    """

    name: str
    memref: str
    tensor: str
    access: Access = "read"

    @classmethod
    def of(cls, name: str, shape: str, access: Access = "read") -> Self:
        """One that is the same inside the kernel and in the program, such as "?x64xf32"."""
        return cls(name=name, memref=shape, tensor=shape, access=access)


class Emitter:
    """Collects operations; every method that makes a value returns its SSA name."""

    def __init__(self, isa: Isa) -> None:
        self.isa = isa
        self.lines: list[str] = []
        self.constants: dict[str, str] = {}
        self.memrefs: dict[str, str] = {}
        self.count = 0

    def op(self, text: str) -> str:
        """Append `%fresh = text` and return `%fresh`."""
        self.count += 1
        name = f"%v{self.count}"
        self.lines.append(f"{name} = {text}")
        return name

    def do(self, text: str) -> None:
        """Append an operation without a result."""
        self.lines.append(text)

    def constant(self, literal: str, type: str) -> str:
        """A constant, defined once at the head of the kernel."""
        text = f"arith.constant {literal} : {type}"
        return self.constants.setdefault(text, f"%c{len(self.constants)}")

    def index(self, value: int) -> str:
        return self.constant(str(value), "index")

    def integers(self, value: int, type: str = I32) -> str:
        return self.constant(f"dense<{value}>", type)

    def floats(self, value: float, type: str = F32) -> str:
        return self.constant(f"dense<{value:.9e}>", type)

    def float(self, value: float) -> str:
        return self.constant(f"{value:.9e}", "f32")

    def hidden(self, value: str, type: str) -> str:
        """The constant `value` as something that the compiler knows nothing about, where registers have masks."""
        if self.isa.register_bytes < 64:
            return value
        text = f'llvm.inline_asm "", "=v,0" {value} : ({type}) -> {type}'
        return self.constants.setdefault(text, f"%c{len(self.constants)}")

    def opaque(self, index: str) -> str:
        """An index that the compiler knows nothing about: what is added to it is added where it is used, in the
        instruction that loads, instead of being kept in a register of its own."""
        word = self.op(f"arith.index_cast {index} : index to i64")
        word = self.op(f'llvm.inline_asm "", "=r,0" {word} : (i64) -> i64')
        return self.op(f"arith.index_cast {word} : i64 to index")

    def keep_order(self) -> None:
        """Loads and prefetches before this stay before those after it; no instruction."""
        self.do('llvm.inline_asm has_side_effects "", "~{memory}" : () -> ()')

    # Index arithmetic

    def add(self, a: str, b: str | int) -> str:
        if b == 0:
            return a
        return self.op(f"arith.addi {a}, {self.index(b) if isinstance(b, int) else b} : index")

    def mul(self, a: str, b: str | int) -> str:
        if b == 1:
            return a
        return self.op(f"arith.muli {a}, {self.index(b) if isinstance(b, int) else b} : index")

    def minimum(self, a: str, b: str) -> str:
        return self.op(f"arith.minui {a}, {b} : index")

    # Memory

    def memref(self, name: str) -> str:
        return self.memrefs[name]

    def load(self, name: str, at: Sequence[str], type: str) -> str:
        """A vector of `type` from the binding `name` at the index list `at`."""
        return self.op(f"vector.load %{name}[{', '.join(at)}] : {self.memrefs[name]}, {type}")

    def prefetch(self, name: str, at: str, level: int) -> None:
        """Prefetch the cache line of an element of a binding, given as its index list, into the cache of this level.
        Past the end of the binding nothing happens."""
        self.do(f"memref.prefetch %{name}[{at}], read, locality<{4 - level}>, data : {self.memrefs[name]}")

    def load_scalar(self, name: str, at: Sequence[str]) -> str:
        return self.op(f"memref.load %{name}[{', '.join(at)}] : {self.memrefs[name]}")

    def store(self, value: str, name: str, at: Sequence[str], type: str) -> None:
        self.do(f"vector.store {value}, %{name}[{', '.join(at)}] : {self.memrefs[name]}, {type}")

    def store_past_caches(self, value: str, name: str, at: Sequence[str], type: str) -> None:
        """Non-temporal store of a whole and aligned cache line; what reads it soon finds it in no cache.

        x86 orders such stores by the next locked instruction only: IREE's workers have one between their last workgroup
        of a dispatch and the beginning of the next (they take their workgroups off a shared count).
        """
        # The generic form: the short one has no place for these properties.
        properties = "<{alignment = 64 : i64, nontemporal = true}>"
        types = ", ".join([type, self.memrefs[name], *["index"] * len(at)])
        self.do(f'"vector.store"({value}, %{name}, {", ".join(at)}) {properties} : ({types}) -> ()')

    def store_scalar(self, value: str, name: str, at: Sequence[str]) -> None:
        self.do(f"memref.store {value}, %{name}[{', '.join(at)}] : {self.memrefs[name]}")

    def scratch(self, name: str, shape: str) -> None:
        """A small buffer on the stack, in cache lines of its own, addressed like a binding."""
        self.memrefs[name] = f"memref<{shape}>"
        # The generic form: the short one has no place for an alignment.
        properties = "<{alignment = 64 : i64, operandSegmentSizes = array<i32: 0, 0>}>"
        self.do(f'%{name} = "memref.alloca"() {properties} : () -> memref<{shape}>')

    # Vectors

    def splat(self, scalar: str, element: str = "f32", type: str = F32) -> str:
        return self.op(f"vector.broadcast {scalar} : {element} to {type}")

    def float_op(self, name: str, a: str, b: str, type: str = F32) -> str:
        return self.op(f"arith.{name} {a}, {b} : {type}")

    def fma(self, a: str, b: str, c: str, type: str = F32) -> str:
        """a * b + c; two roundings where the target has no fused form."""
        if self.isa.fma:
            return self.op(f"math.fma {a}, {b}, {c} : {type}")
        return self.float_op("addf", self.float_op("mulf", a, b, type), c, type)

    def larger(self, a: str, b: str) -> str:
        """The larger of two vectors; b where either is NaN: one instruction, as `arith.maximumf` is not."""
        return self._select("ogt", a, b)

    def smaller(self, a: str, b: str) -> str:
        """The smaller of two vectors; b where either is NaN."""
        return self._select("olt", a, b)

    def largest(self, value: str) -> str:
        """The largest lane of a vector, a scalar: as `larger`, in four steps."""
        for distance in (8, 4, 2, 1):
            order = ", ".join(str((lane + distance) % LANES) for lane in range(LANES))
            value = self.larger(self.op(f"vector.shuffle {value}, {value} [{order}] : {F32}, {F32}"), value)
        return self.op(f"vector.extract {value}[0] : f32 from {F32}")

    def _select(self, predicate: str, a: str, b: str) -> str:
        chosen = self.op(f"arith.cmpf {predicate}, {a}, {b} : {F32}")
        return self.op(f"arith.select {chosen}, {a}, {b} : vector<16xi1>, {F32}")

    def bitcast(self, value: str, source: str, target: str) -> str:
        return self.op(f"vector.bitcast {value} : {source} to {target}")

    def reduce(self, kind: str, value: str, type: str = F32) -> str:
        element = type.removesuffix(">").rpartition("x")[2]
        return self.op(f"vector.reduction <{kind}>, {value} : {type} into {element}")

    # Control

    def loop(
        self,
        low: str,
        high: str,
        step: str | int,
        carried: Sequence[str],
        type: str,
        body: Callable[[str, list[str]], Sequence[str]],
    ) -> list[str]:
        """`scf.for`; `carried` values all have `type`; `body(index, values)` returns the next values."""
        self.count += 1
        index, result = f"%i{self.count}", f"%r{self.count}"
        arguments = [f"%a{self.count}_{n}" for n in range(len(carried))]
        step = self.index(step) if isinstance(step, int) else step
        head = f"scf.for {index} = {low} to {high} step {step}"
        if carried:
            bound = ", ".join(f"{a} = {v}" for a, v in zip(arguments, carried, strict=True))
            head = f"{result}:{len(carried)} = {head} iter_args({bound}) -> ({', '.join([type] * len(carried))})"
        self.do(head + " {")
        values = body(index, arguments)
        if carried:
            self.do(f"scf.yield {', '.join(values)} : {', '.join([type] * len(carried))}")
        self.do("}")
        return [f"{result}#{n}" for n in range(len(carried))]

    def each(self, low: str, high: str, step: str | int, body: Callable[[str], None]) -> None:
        """A loop that carries nothing."""

        def without_values(index: str, _: list[str]) -> Sequence[str]:
            body(index)
            return ()

        self.loop(low, high, step, (), F32, without_values)

    def branch(self, condition: str, then: Callable[[], None], otherwise: Callable[[], None] | None = None) -> None:
        """`scf.if` without results."""
        self.do(f"scf.if {condition} {{")
        then()
        if otherwise:
            self.do("} else {")
            otherwise()
        self.do("}")
