"""A kernel as a value: its name, buffers, run-time constants and workgroups, and the MLIR text around its body."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ParamSpec, cast

from sharkpack.templates.kernels.emitter import Binding, Emitter
from sharkpack.templates.kernels.isa import Isa

P = ParamSpec("P")


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """More workgroups where a dimension is large: as many times more as it has parts of `each`, up to `most`."""

    dimension: str
    each: int
    most: int

    @property
    def lines(self) -> tuple[str, ...]:
        """From `%heads` workgroups and the dimension's `%size` to `%groups`."""
        return (
            f"%each = arith.constant {self.each} : index",
            f"%most = arith.constant {self.most} : index",
            "%wanted = arith.ceildivui %size, %each : index",
            "%parts = arith.minui %wanted, %most : index",
            "%groups = arith.muli %heads, %parts : index",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """One executable and the function through which a program calls it.

    operands: run-time i32 values that the caller gives before the buffers.
    dimensions: run-time sizes read off the buffers: name -> (binding, axis). "rows" must be among them; it also sizes
        the leading dimension of every output.
    row_tile: rows a workgroup takes (0: the number of workgroups does not depend on the rows).
    groups: workgroups of the second dimension (of the only one, when row_tile is 0).
    split: multiplies `groups`, where row_tile is not 0; the body finds the product as `%group_count_y`.
    body: writes the kernel; finds the operands, the dimensions, `%group_x` and `%group_y` as index values.
    """

    name: str
    bindings: tuple[Binding, ...]
    body: Callable[[Emitter], None]
    dimensions: dict[str, tuple[str, int]]
    operands: tuple[str, ...] = ()
    row_tile: int = 0
    groups: int = 1
    split: Split | None = None

    @property
    def inputs(self) -> tuple[Binding, ...]:
        """The bindings that a caller gives, after the operands."""
        return tuple(b for b in self.bindings if b.access != "write")

    @property
    def outputs(self) -> tuple[Binding, ...]:
        """The bindings that a caller gets."""
        return tuple(b for b in self.bindings if b.access in ("write", "update"))

    @property
    def layout_alias(self) -> str:
        """The attribute alias that `render`'s text refers to; aliases stand at the top of a file."""
        access = ", ".join(
            "#hal.pipeline.binding<storage_buffer" + (", ReadOnly>" if b.access == "read" else ">")
            for b in self.bindings
        )
        constants = len(self.operands) + len(self.dimensions)
        return f"#layout_{self.name} = #hal.pipeline.layout<constants = {constants}, bindings = [{access}]>"

    def render(self, isa: Isa) -> str:
        """The executable for `isa` and the `util.func` of the same name that dispatches it."""
        return self._executable(isa) + self._function()

    def _executable(self, isa: Isa) -> str:
        emitter = Emitter(isa)
        layout = f"#layout_{self.name}"
        prologue = [
            "%group_x = hal.interface.workgroup.id[0] : index",
            "%group_y = hal.interface.workgroup.id[1] : index",
            *["%group_count_y = hal.interface.workgroup.count[1] : index"] * (self.split is not None),
            "%origin = arith.constant 0 : index",
        ]
        for ordinal, operand in enumerate((*self.operands, *self.dimensions)):
            prologue.append(f"%{operand}_i32 = hal.interface.constant.load layout({layout}) ordinal({ordinal}) : i32")
            prologue.append(f"%{operand} = arith.index_castui %{operand}_i32 : i32 to index")
        for ordinal, b in enumerate(self.bindings):
            dynamic = "{%rows}" if b.memref.startswith("?") else ""
            emitter.memrefs[b.name] = f"memref<{b.memref}>"
            prologue.append(
                f"%{b.name} = hal.interface.binding.subspan layout({layout}) binding({ordinal}) alignment(64) "
                f"offset(%origin) : memref<{b.memref}>{dynamic}"
            )
        self.body(emitter)
        constants = [f"{name} = {text}" for text, name in emitter.constants.items()]
        lines = "\n".join(f"      {line}" for line in (*prologue, *constants, *emitter.lines))
        pipeline = "#iree_codegen.translation_info<pipeline = #iree_codegen.no_pipeline>"
        return f"""
hal.executable.source private @executable_{self.name} {{
  hal.executable.export public @kernel_{self.name} ordinal(0) layout({layout})
      count(%device: !hal.device, %rows: index{", %size: index" if self.split else ""}) -> (index, index, index) {{
    %c1 = arith.constant 1 : index
{self._count()}
  }}
  builtin.module {{
    func.func @kernel_{self.name}() attributes {{translation_info = {pipeline}}} {{
{lines}
      return
    }}
  }}
}}
"""

    def _count(self) -> str:
        name = "%heads" if self.split else "%groups"
        lines = [f"{name} = arith.constant {self.groups} : index", *(self.split.lines if self.split else ())]
        if self.row_tile:
            lines += [f"%tile = arith.constant {self.row_tile} : index"]
            lines += ["%row_groups = arith.ceildivui %rows, %tile : index"]
        counts = "%row_groups, %groups, %c1" if self.row_tile else "%groups, %c1, %c1"
        return "\n".join(f"    {line}" for line in [*lines, f"hal.return {counts} : index, index, index"])

    def _function(self) -> str:
        sizes = self._sizes()
        rows = sizes[self.dimensions["rows"]].name
        written = [b for b in self.bindings if b.access != "read"]
        lines = [line for size in sizes.values() for line in size.lines]
        lines += [f"%{n} = arith.index_castui {sizes[at].name} : index to i32" for n, at in self.dimensions.items()]
        scalars = [*self.operands, *self.dimensions]
        arguments = ", ".join(f"%{name}" for name in (*scalars, *(b.name for b in self.inputs)))
        types = ", ".join([*["i32"] * len(scalars), *(_sized(b, sizes) for b in self.inputs)])
        made = ", ".join(
            f"tensor<{b.tensor}>{{{rows}}}" if b.access == "write" else f"%{b.name}{{{sizes[b.name, 0].name}}}"
            for b in written
        )
        results = ", ".join(f"tensor<{b.tensor}>" for b in self.outputs)
        parameters = ", ".join(
            [*(f"%{name}: i32" for name in self.operands), *(f"%{b.name}: tensor<{b.tensor}>" for b in self.inputs)]
        )
        values = ", ".join(f"%made#{n}" for n, b in enumerate(written) if b in self.outputs)
        workload = rows if self.split is None else f"{rows}, {sizes[self.dimensions[self.split.dimension]].name}"
        body = "\n".join(f"  {line}" for line in lines)
        return f"""
util.func private @{self.name}({parameters}) -> ({results}) {{
{body}
  %made:{len(written)} = flow.dispatch @executable_{self.name}::@kernel_{self.name}[{workload}]({arguments})
      : ({types}) -> ({made})
  util.return {values} : {results}
}}
"""

    def _sizes(self) -> "Sizes":
        """Those that are known at run time only, of the buffers that the function is given."""
        return {
            (b.name, axis): Size(binding=b, axis=axis)
            for b in self.bindings
            for axis, size in enumerate(b.tensor.split("x"))
            if size == "?" and b.access != "write"
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A size of a tensor as the function finds it at run time."""

    binding: Binding
    axis: int

    @property
    def name(self) -> str:
        return f"%{self.binding.name}_size{self.axis}"

    @property
    def lines(self) -> tuple[str, str]:
        b, at = self.binding, f"%{self.binding.name}_axis{self.axis}"
        return (
            f"{at} = arith.constant {self.axis} : index",
            f"{self.name} = tensor.dim %{b.name}, {at} : tensor<{b.tensor}>",
        )


def memoised(make: Callable[P, Kernel]) -> Callable[P, Kernel]:
    """Make a kernel once for equal arguments: a model calls for the same one in each layer, and choosing the sizes of
    its workgroups takes tens of milliseconds."""
    return cast(Callable[P, Kernel], functools.cache(make))


Sizes = Mapping[tuple[str, int], Size]
"""By the buffer's name and the axis."""


def number_tag(value: float) -> str:
    """A number as a part of a kernel's name."""
    return f"{value:.6e}".replace(".", "p").replace("-", "m").replace("+", "")


def _sized(b: Binding, sizes: Sizes) -> str:
    """A tensor's type with the sizes that it leaves open."""
    dynamic = [sizes[b.name, axis].name for axis, size in enumerate(b.tensor.split("x")) if size == "?"]
    return f"tensor<{b.tensor}>" + (f"{{{', '.join(dynamic)}}}" if dynamic else "")
