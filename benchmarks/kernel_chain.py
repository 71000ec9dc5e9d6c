"""A module that calls one kernel again and again, each time on weights of its own, as a decode step does."""

from dataclasses import dataclass

from sharkpack.templates.kernels.isa import Isa
from sharkpack.templates.kernels.kernel import Kernel


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """`count` calls of `kernel` in one function, which is `run` of its module.

    Its arguments: what all calls share (activations, positions, the cache), then each call's own (weights).
    """

    kernel: Kernel
    count: int

    @property
    def shared(self) -> list[str]:
        """Names of the inputs that all calls take: those whose size is known only when a program runs."""
        return [b.name for b in self.kernel.inputs if b.tensor.startswith("?")]

    @property
    def own(self) -> list[str]:
        """Names of the inputs that each call has its own of."""
        return [b.name for b in self.kernel.inputs if not b.tensor.startswith("?")]

    def text(self, isa: Isa) -> str:
        """The module's MLIR. What a call updates, the next call takes."""
        kernel, types = self.kernel, {b.name: f"tensor<{b.tensor}>" for b in self.kernel.bindings}
        results = ", ".join(types[b.name] for b in self.kernel.outputs)
        held = {name: f"%{name}" for name in self.shared}
        lines, made = [], []
        for call in range(self.count):
            operands = [f"%{operand}_{call}" for operand in kernel.operands]
            lines += [f"{operand} = arith.constant {call} : i32" for operand in operands]
            given = [held.get(b.name, f"%{b.name}_{call}") for b in self.kernel.inputs]
            kinds = ["i32"] * len(operands) + [types[b.name] for b in self.kernel.inputs]
            lines.append(
                f"%made_{call}:{len(self.kernel.outputs)} = util.call @{kernel.name}({', '.join(operands + given)}) : "
                f"({', '.join(kinds)}) -> ({results})"
            )
            for i, b in enumerate(self.kernel.outputs):
                if b.access == "update":
                    held[b.name] = f"%made_{call}#{i}"
                else:
                    made.append((f"%made_{call}#{i}", types[b.name]))
        updated = [(held[b.name], types[b.name]) for b in self.kernel.outputs if b.access == "update"]
        returned = [*updated, *made]
        parameters = [f"%{name}: {types[name]}" for name in self.shared]
        parameters += [f"%{name}_{call}: {types[name]}" for call in range(self.count) for name in self.own]
        body = "\n".join(f"  {line}" for line in lines)
        return (
            f"{kernel.layout_alias}\nmodule @module {{\n{kernel.render(isa)}\n"
            f"func.func @run({', '.join(parameters)}) -> ({', '.join(kind for _, kind in returned)}) {{\n{body}\n"
            f"  return {', '.join(name for name, _ in returned)} : {', '.join(kind for _, kind in returned)}\n}}\n}}"
        )
