"""Writes a function's kernel calls, forward: each producer makes the forms that are wanted of its values."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sharkpack.templates.kernels.kernel import Kernel
from sharkpack.templates.kernels.rows import quantize_rows
from sharkpack.templates.lowering.cpu.forms import Form, Uses
from sharkpack.templates.lowering.cpu.joins import Joins
from sharkpack.templates.lowering.program import Value
from sharkpack.templates.lowering.text import Buffer, Lines, Tensor

Made = Mapping[str, Tensor]
"""A value in one form, by the names of the bindings that kernels have for it: x; or codes, scales and so on."""


@dataclass(slots=True)
class Writer:
    """The text written for one function: its lines, the kernels that they call, and the forms of its values.

    parts: what attention of a decode step uses, as the layer before left it, by the floats of a row.
    """

    uses: Uses
    joins: Joins
    lines: Lines
    kernels: dict[str, Kernel] = field(default_factory=dict)
    parts: dict[int, Tensor] = field(default_factory=dict)
    _made: dict[tuple[str, Form], Made] = field(default_factory=dict)
    _later: dict[tuple[str, Form], Callable[[], None]] = field(default_factory=dict)

    def call(
        self,
        kernel: Kernel,
        inputs: Mapping[str, Tensor | None],
        rows: int | None,
        operands: Mapping[str, int] | None = None,
    ) -> dict[str, Buffer]:
        """Call `kernel` on inputs by its bindings' names; rows: of its results, None where run time decides."""
        self.kernels[kernel.name] = kernel
        arguments = [self.lines.op(f"arith.constant {(operands or {})[name]} : i32") for name in kernel.operands]
        types = ["i32"] * len(arguments)
        given: dict[str, Tensor] = {}
        for binding in kernel.inputs:
            tensor = inputs[binding.name]
            assert tensor is not None, f"{kernel.name} without {binding.name}"
            given[binding.name] = tensor
            types.append(f"tensor<{binding.tensor}>")
            arguments.append(self.lines.cast(tensor, types[-1]))
        result_types = [f"tensor<{binding.tensor}>" for binding in kernel.outputs]
        names = self.lines.call(kernel.name, arguments, types, result_types)
        found = {}
        for binding, name, type in zip(kernel.outputs, names, result_types, strict=True):
            first = given[binding.name].shape[0] if binding.access == "update" else rows
            found[binding.name] = self._sized(Buffer(name, (first, *_sizes(binding.tensor)), type), binding.tensor)
        return found

    def _sized(self, buffer: Buffer, tensor: str) -> Buffer:
        """With the sizes that are known in its type: that is how they become constants."""
        first, rest = buffer.shape[0], tensor.partition("x")[2]
        wanted = f"tensor<{'?' if first is None else first}x{rest}>"
        if wanted == buffer.tensor_type:
            return buffer
        cast = self.lines.op(f"tensor.cast {buffer.name} : {buffer.tensor_type} to {wanted}")
        return Buffer(cast, buffer.shape, wanted)

    def take(self, value: Value, form: Form) -> Made:
        """A value in that form; quantised here where its maker made float32 only."""
        for having in (form, "int8_remainder") if form == "int8" else (form,):
            if later := self._later.pop((value.name, having), None):
                later()
            if (value.name, having) in self._made:
                return self._made[value.name, having]
        if form == "float32":
            return {"x": value}
        finest, width = self.uses.finest(value), value.shape[-1]
        assert width is not None
        kernel = quantize_rows(width, remainder=finest == "int8_remainder")
        self._made[value.name, finest] = found = self.call(kernel, self.take(value, "float32"), value.shape[0])
        return found

    def float32(self, value: Value) -> Tensor:
        return self.take(value, "float32")["x"]

    def give(self, value: Value, made: Mapping[str, Buffer], form: Form) -> None:
        """Let `made`, by a kernel's outputs, be the value in that form."""
        if form != "float32":
            self._made[value.name, form] = made
            return
        (x,) = made.values()
        self._made[value.name, form] = {"x": x}
        if self.uses.in_text(value):
            self.lines.as_torch(x, value)

    def give_when_taken(self, value: Value, form: Form, make: Callable[[], None]) -> None:
        """Have `make` give the value in that form where it is first taken."""
        self._later[value.name, form] = make


def _sizes(tensor: str) -> tuple[int, ...]:
    """Those after the first of "?x18x8xf32"."""
    return tuple(int(size) for size in tensor.split("x")[1:-1])
