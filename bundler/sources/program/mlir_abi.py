"""Holds the functions of MLIR text to the ABI: all that a bundle's manifest promises, argument by argument."""

from collections.abc import Sequence

from sharkpack.bundler.sources.program.mlir_program import Function, MlirProgram, MlirText, TensorType
from sharkpack.formats.archive.generate_calls import ANY_HIDDEN, HEAD
from sharkpack.formats.archive.signature import Argument, EntryPoint, Signature
from sharkpack.formats.errors import SharkpackError

MODULE = "module"


def check_abi(program: MlirProgram, signature: Signature) -> None:
    """Raise SharkpackError for the first entry point that the text lacks, or has with other arguments or results."""
    code = program.code
    if code.module not in (None, MODULE):
        raise SharkpackError(f"{code.path}: the module is named '@{code.module}'; expected '@{MODULE}', or no name")
    width: int | None = None
    for entry in signature.entry_points:
        function = _function(code, entry)
        inputs, outputs = ([signature.typed(each) for each in side] for side in (entry.inputs, entry.outputs))
        _check(code, f"{entry.function} takes", function.inputs, inputs)
        _check(code, f"{entry.function} returns", function.outputs, outputs)
        width = _same_width(code, entry, function, width)


def scores_tokens(program: MlirProgram) -> bool:
    """Returns whether it gives logits of other tokens than the last: by `head`, or if a prefill has a result for it."""
    functions = program.code.functions
    prefills = [functions[name] for name in functions if name.startswith("prefill_bs")]
    return HEAD in functions or any(len(each.outputs) > 2 for each in prefills)


def _function(code: MlirText, entry: EntryPoint) -> Function:
    if entry.function in code.functions:
        return code.functions[entry.function]
    found = ", ".join(code.functions) or "none"
    if entry.function == HEAD:
        hint = "add it: it makes logits of the third result of prefill"
    else:
        hint = "add it, or leave its size out of --batch-sizes"
    raise SharkpackError(f"{code.path}: no public function {entry.function}; it has {found}: {hint}")


def _check(code: MlirText, what: str, found: Sequence[TensorType | str], expected: Sequence[Argument]) -> None:
    if len(found) != len(expected):
        names = ", ".join(each.role for each in expected)
        raise SharkpackError(f"{code.path}: {what} {_count(len(found))}; expected {len(expected)}: {names}")
    for tensor, argument in zip(found, expected, strict=True):
        if not _fits(tensor, argument):
            raise SharkpackError(f"{code.path}: {what} {argument.role} as {tensor}; expected {_wanted(argument)}")


def _count(number: int) -> str:
    return f"{number} tensor" if number == 1 else f"{number} tensors"


def _fits(found: TensorType | str, argument: Argument) -> bool:
    """Sizes with a name are each call's choice, but for D, which is the program's."""
    shape = argument.shape or ()
    if isinstance(found, str) or found.element != argument.dtype or len(found.shape) != len(shape):
        return False
    sizes = zip(found.shape, shape, strict=True)
    return all(size is not None if name == ANY_HIDDEN else size == _size(name) for size, name in sizes)


def _size(name: int | str) -> int | None:
    return name if isinstance(name, int) else None


def _wanted(argument: Argument) -> str:
    """Returns the type as MLIR writes it, with the names of sizes that are not fixed."""
    shape = argument.shape or ()
    sizes = "".join(f"{'?' if isinstance(size, str) and size != ANY_HIDDEN else size}x" for size in shape)
    names = [size for size in shape if isinstance(size, str)]
    explained = f" (its sizes are {', '.join(map(str, shape))})" if names else ""
    return f"tensor<{sizes}{argument.dtype}>{explained}"


def _same_width(code: MlirText, entry: EntryPoint, function: Function, width: int | None) -> int | None:
    """D is the same number wherever it occurs."""
    tensors = zip((*function.inputs, *function.outputs), (*entry.inputs, *entry.outputs), strict=False)
    for tensor, argument in tensors:
        if argument.role == "hidden" and isinstance(tensor, TensorType):
            if width not in (None, tensor.shape[1]):
                raise SharkpackError(
                    f"{code.path}: hidden is {tensor} in {entry.function}; expected rows of {width}, as elsewhere"
                )
            width = tensor.shape[1]
    return width
