"""The matmuls that a CPU computes in one kernel: gate and up with their gate, attention's q, k and v."""

from dataclasses import dataclass, field

from sharkpack.templates.lowering.cpu.forms import Uses
from sharkpack.templates.lowering.program import Function, OperatorCall


@dataclass(slots=True)
class Joins:
    """Calls that one kernel computes together. They are written where one of them stands; the others are `absorbed`."""

    gates: dict[OperatorCall, tuple[OperatorCall, OperatorCall]] = field(default_factory=dict)
    """A gated call -> the matmuls of its gate and of its up."""
    projections: dict[OperatorCall, tuple[OperatorCall, ...]] = field(default_factory=dict)
    """The first of three matmuls -> those of q, k and v."""
    absorbed: set[OperatorCall] = field(default_factory=set)


def plan(function: Function, uses: Uses) -> Joins:
    """Go through a function backward: what a call wants is known once all that use its results have been seen."""
    joins = Joins()
    for call in reversed(function.calls):
        if call.operator == "gated":
            _join_gated(call, uses, joins)
        elif call.operator == "attend":
            _join_projections(call, uses, joins, function)
        uses.add(call)
    return joins


def _join_gated(call: OperatorCall, uses: Uses, joins: Joins) -> None:
    """Both matmuls of 8 bits, and their outcome wanted in 8 bits only: the kernel writes nothing else."""
    gate, up = uses.sole_matmul(call.input("gate")), uses.sole_matmul(call.input("up"))
    if gate is None or up is None or not uses.only_int8(call.results["y"]):
        return
    alike = gate.input("x") == up.input("x") and gate.integer("n") == up.integer("n") and gate.integer("n") % 32 == 0
    if alike and all(uses.form(part) == "int8" and not part.has("bias") for part in (gate, up)):
        joins.gates[call] = gate, up
        joins.absorbed |= {gate, up}


def _join_projections(call: OperatorCall, uses: Uses, joins: Joins, function: Function) -> None:
    """Three matmuls of the same quantised activations; of q and k also those whose rows are normalised. Their weights
    are the function's own: what is loaded can be loaded earlier."""
    parts: list[OperatorCall] = []
    for name in ("q", "k", "v"):
        value = call.input(name)
        maker = uses.makers.get(value.name)
        if maker is not None and maker.operator == "rms_norm":
            value = maker.input("x")
        part = uses.sole_matmul(value)
        if part is None or uses.form(part) == "float32" or part in joins.absorbed:
            return
        parts.append(part)
    given = [value for part in parts for value in (part.inputs["weight"], part.inputs["bias"]) if value is not None]
    loaded = all(value.name in function.loads for value in given)
    if loaded and all(part.input("x") == parts[0].input("x") for part in parts):
        first = min(parts, key=function.calls.index)
        joins.projections[first] = tuple(parts)
        joins.absorbed |= {*parts} - {first}
