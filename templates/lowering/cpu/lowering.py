"""Lowers a function for CPUs: backward to learn what is wanted of its values, then forward to write its kernels."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace

from sharkpack.templates.kernels.isa import Isa
from sharkpack.templates.kernels.kernel import Kernel
from sharkpack.templates.lowering.cpu.attention import begin_parts
from sharkpack.templates.lowering.cpu.forms import Uses
from sharkpack.templates.lowering.cpu.joins import plan
from sharkpack.templates.lowering.cpu.operators import WRITERS
from sharkpack.templates.lowering.cpu.writer import Writer
from sharkpack.templates.lowering.lowering import Activations, Definition, Lowered
from sharkpack.templates.lowering.program import Function, NeutralProgram
from sharkpack.templates.lowering.text import Lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Cpu:
    """Kernels for the instruction set `isa`."""

    isa: Isa
    activations: Activations = "int8"

    def with_activations(self, activations: Activations) -> "Cpu":
        return replace(self, activations=activations)

    def lower(self, function: Function) -> Lowered:
        writer = self._write(function)
        definitions = {name: self.define(kernel) for name, kernel in writer.kernels.items()}
        return Lowered(body=tuple(writer.lines.lines), definitions=definitions)

    def kernels(self, program: NeutralProgram) -> Mapping[str, Kernel]:
        """The kernels that a program becomes, by name."""
        return {name: kernel for each in program.functions for name, kernel in self._write(each).kernels.items()}

    def define(self, kernel: Kernel) -> Definition:
        write = functools.partial(kernel.render, self.isa)
        return Definition(name=kernel.name, aliases=kernel.layout_alias, write=write)

    def _write(self, function: Function) -> Writer:
        uses = Uses.of(function, self.activations)
        joins = plan(function, uses)
        lines = Lines.of(function)
        writer = Writer(uses, joins, lines, parts=begin_parts(function, lines))
        for line in function.body:
            if isinstance(line, str):
                lines.keep(line)
            elif line not in joins.absorbed:
                WRITERS[line.operator](writer, line)
        return writer
