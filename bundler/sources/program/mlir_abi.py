"""Holds the functions of MLIR text to the ABI: all that a bundle's manifest promises, argument by argument."""

from collections.abc import Sequence

from sharkpack.bundler.sources.program.mlir_program import Function, MlirProgram, MlirText, TensorType
from sharkpack.formats.archive.entry_points import Argument, EntryPoint
from sharkpack.formats.errors import SharkpackError

HEAD = "head"
MODULE = "module"


def check_abi(program: MlirProgram, entries: Sequence[EntryPoint]) -> None:
    """Raise SharkpackError for the first of `entries` that the text lacks, or has with other arguments or results.

    `head` and the third result of prefill may be absent, both or neither.
    """
    code = program.code
    if code.module not in (None, MODULE):
        raise SharkpackError(f"{code.path}: the module is named '@{code.module}'; expected '@{MODULE}', or no name")
    scored = _is_scored(code, entries)
    width: int | None = None
    for entry in entries:
        if entry.name == HEAD and not scored:
            continue
        function = _function(code, entry)
        outputs = entry.outputs if scored else entry.outputs[:2]
        _check(code, f"{entry.name} takes", function.inputs, entry.inputs)
        _check(code, f"{entry.name} returns", function.outputs, outputs)
        width = _same_width(code, entry, function, width)


def _is_scored(code: MlirText, entries: Sequence[EntryPoint]) -> bool:
    """Whether it gives logits of other tokens than the last: by `head`, or if a prefill has a result for it."""
    prefills = [code.functions[each.name] for each in entries if len(each.outputs) == 3 and each.name in code.functions]
    return HEAD in code.functions or any(len(each.outputs) > 2 for each in prefills)


def _function(code: MlirText, entry: EntryPoint) -> Function:
    if entry.name in code.functions:
        return code.functions[entry.name]
    found = ", ".join(code.functions) or "none"
    if entry.name == HEAD:
        hint = "add it: it makes logits of the third result of prefill"
    else:
        hint = "add it, or leave its size out of --batch-sizes"
    raise SharkpackError(f"{code.path}: no public function {entry.name}; it has {found}: {hint}")


def _check(code: MlirText, what: str, found: Sequence[TensorType | str], expected: Sequence[Argument]) -> None:
    if len(found) != len(expected):
        names = ", ".join(each.name for each in expected)
        raise SharkpackError(f"{code.path}: {what} {_count(len(found))}; expected {len(expected)}: {names}")
    for tensor, argument in zip(found, expected, strict=True):
        if not _fits(tensor, argument):
            raise SharkpackError(f"{code.path}: {what} {argument.name} as {tensor}; expected {_wanted(argument)}")


def _count(number: int) -> str:
    return f"{number} tensor" if number == 1 else f"{number} tensors"


def _fits(found: TensorType | str, argument: Argument) -> bool:
    """Sizes with a name are each call's choice, but for D, which is the program's."""
    if isinstance(found, str) or found.element != argument.dtype or len(found.shape) != len(argument.shape):
        return False
    sizes = zip(found.shape, argument.shape, strict=True)
    return all(size is not None if name == "D" else size == _size(name) for size, name in sizes)


def _size(name: int | str) -> int | None:
    return name if isinstance(name, int) else None


def _wanted(argument: Argument) -> str:
    """As MLIR writes it, with the names of sizes that are not fixed."""
    sizes = "".join(f"{'?' if isinstance(size, str) and size != 'D' else size}x" for size in argument.shape)
    names = [size for size in argument.shape if isinstance(size, str)]
    explained = f" (its sizes are {', '.join(map(str, argument.shape))})" if names else ""
    return f"tensor<{sizes}{argument.dtype}>{explained}"


def _same_width(code: MlirText, entry: EntryPoint, function: Function, width: int | None) -> int | None:
    """D is the same number wherever it occurs."""
    tensors = zip((*function.inputs, *function.outputs), (*entry.inputs, *entry.outputs), strict=False)
    for tensor, argument in tensors:
        if argument.name == "hidden" and isinstance(tensor, TensorType):
            if width not in (None, tensor.shape[1]):
                raise SharkpackError(
                    f"{code.path}: hidden is {tensor} in {entry.name}; expected rows of {width}, as in other functions"
                )
            width = tensor.shape[1]
    return width
