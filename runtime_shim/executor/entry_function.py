"""A function of a loaded module with its arguments and results in the order that the manifest lists them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import iree.runtime as rt

from sharkpack.formats.archive.manifest import EntryPoint, TargetInfo
from sharkpack.formats.errors import BundleDamagedError


class EntryFunction(NamedTuple):
    """`inputs` are places among what a caller supplies; `logits`, `memory` and `hidden` are places among results."""

    name: str
    function: rt.VmFunction
    inputs: tuple[int, ...]
    logits: int
    memory: int | None
    hidden: int | None

    def arguments(self, supplied: Sequence[rt.HalBufferView]) -> rt.VmVariantList:
        """Returns the arguments to pass, of those supplied by role."""
        passed = rt.VmVariantList(len(self.inputs))
        for place in self.inputs:
            passed.push_ref(supplied[place])
        return passed


def entry_function(entry: EntryPoint, roles: Sequence[str], module: Any, target: TargetInfo) -> EntryFunction:
    """Find the function in the module; a caller supplies arguments of `roles`, in that order.

    Raises BundleDamagedError for a function that the module does not have.
    """
    function = module.lookup_function(entry.function)
    if function is None:
        raise BundleDamagedError(f"{target.path} has no function {entry.function}, which the manifest promises")
    results = {argument.role: place for place, argument in enumerate(entry.outputs)}
    return EntryFunction(
        name=entry.function,
        function=function,
        inputs=tuple(roles.index(argument.role) for argument in entry.inputs),
        logits=results["logits"],
        memory=results.get("memory"),
        hidden=results.get("hidden"),
    )
