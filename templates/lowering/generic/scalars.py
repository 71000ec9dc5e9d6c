"""Scalar values of a function that is being written, with Python's operators for arith's. Knows no tensors."""

from collections.abc import Callable
from dataclasses import dataclass

Write = Callable[[str, str], "Scalar"]
"""Appends an operation of that text and result type, where the function's text now ends."""

_INTEGER = {"+": "addi", "-": "subi", "*": "muli", "/": "divui", "%": "remui", "min": "minui"}
_FLOAT = {"+": "addf", "-": "subf", "*": "mulf", "/": "divf", "max": "maximumf"}


@dataclass(frozen=True, slots=True)
class Scalar:
    """An SSA value: an index, an integer or a float32. Integers are unsigned where that makes a difference."""

    write: Write
    name: str
    type: str

    def __add__(self, other: "Operand") -> "Scalar":
        return self._with("+", other)

    def __sub__(self, other: "Operand") -> "Scalar":
        return self._with("-", other)

    def __mul__(self, other: "Operand") -> "Scalar":
        return self._with("*", other)

    def __truediv__(self, other: "Operand") -> "Scalar":
        return self._with("/", other)

    def __floordiv__(self, other: "Operand") -> "Scalar":
        return self._with("/", other)

    def __mod__(self, other: "Operand") -> "Scalar":
        return self._with("%", other)

    def __and__(self, other: "Operand") -> "Scalar":
        return self._arith("andi", other)

    def __or__(self, other: "Operand") -> "Scalar":
        return self._arith("ori", other)

    def __lshift__(self, other: "Operand") -> "Scalar":
        return self._arith("shli", other)

    def __rshift__(self, other: "Operand") -> "Scalar":
        return self._arith("shrui", other)

    def __neg__(self) -> "Scalar":
        return self.write(f"arith.negf {self.name} : {self.type}", self.type)

    def minimum(self, other: "Operand") -> "Scalar":
        return self._with("min", other)

    def maximum(self, other: "Operand") -> "Scalar":
        return self._with("max", other)

    def is_(self, relation: str, other: "Operand") -> "Scalar":
        """Compares, as i1; `relation` is arith's, such as "eq", "ult" or "ogt"."""
        operation = "cmpf" if self.type == "f32" else "cmpi"
        return self.write(f"arith.{operation} {relation}, {self.name}, {self.like(other).name} : {self.type}", "i1")

    def choose(self, yes: "Scalar", no: "Operand") -> "Scalar":
        """Returns `yes` where this i1 is set, else `no`."""
        return self.write(f"arith.select {self.name}, {yes.name}, {yes.like(no).name} : {yes.type}", yes.type)

    def cast(self, operation: str, type: str) -> "Scalar":
        """Converts by an operation of one operand, such as "arith.extui"."""
        return self.write(f"{operation} {self.name} : {self.type} to {type}", type)

    def math(self, function: str) -> "Scalar":
        return self.write(f"math.{function} {self.name} : {self.type}", self.type)

    @property
    def index(self) -> "Scalar":
        return self if self.type == "index" else self.cast("arith.index_cast", "index")

    @property
    def word(self) -> "Scalar":
        """Returns the 32 low bits of an index."""
        return self.cast("arith.index_cast", "i32")

    @property
    def float(self) -> "Scalar":
        """Converts a signed i32 or a float16 to float32."""
        return self.cast("arith.sitofp" if self.type == "i32" else "arith.extf", "f32")

    @property
    def bits(self) -> "Scalar":
        """Returns the bits of a float32 as i32, or of an i32 as float32."""
        return self.cast("arith.bitcast", "i32" if self.type == "f32" else "f32")

    def like(self, value: "Operand") -> "Scalar":
        """Returns a number as a constant of this value's type."""
        if isinstance(value, Scalar):
            return value
        text = f"{value:.9e}" if self.type == "f32" else str(int(value))
        return self.write(f"arith.constant {text} : {self.type}", self.type)

    def _with(self, operator: str, other: "Operand") -> "Scalar":
        return self._arith((_FLOAT if self.type == "f32" else _INTEGER)[operator], other)

    def _arith(self, operation: str, other: "Operand") -> "Scalar":
        return self.write(f"arith.{operation} {self.name}, {self.like(other).name} : {self.type}", self.type)


Operand = Scalar | int | float
