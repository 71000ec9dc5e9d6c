"""Reads a tensor that is updated in place, without ending the chain of its updates.

The compiler copies a buffer that has a reader and then a writer, whatever their order. So the reader hands the tensor
on, as if it had written it: each value of it has one use, and nothing is copied.
"""

from collections.abc import Callable, Iterable, Sequence

from sharkpack.templates.lowering.generic.scalars import Scalar
from sharkpack.templates.lowering.generic.tensors import Expression, Size, Tensor, Writer

_DISPATCH = "iree_tensor_ext.dispatch"


def map_through(
    w: Writer,
    updated: Tensor,
    given: Sequence[Tensor],
    numbers: Sequence[Scalar],
    sizes: Sequence[Size],
    expression_of: Callable[..., Expression],
) -> tuple[Tensor, Tensor]:
    """Returns `updated` as it was, and w.map(sizes, expression_of(updated, *given, *numbers)).

    It is a dispatch of its own, so the expression may use nothing else of the function. numbers: indices.
    """
    read = (updated, *given)
    sized = {size.name: size for of in (sizes, *(t.sizes for t in read)) for size in of if isinstance(size, Scalar)}
    scalars = [*sized.values(), *numbers]
    with w.region() as lines:
        inside = [w.scalar(f"{_DISPATCH}.workload.ordinal %n{i}, {i} : index", "index") for i in range(len(scalars))]
        names = dict(zip(sized, inside, strict=False))
        tensors = [_load(w, place, tensor, names) for place, tensor in enumerate(read)]
        made = w.map(_renamed(sizes, names), expression_of(*tensors, *inside[len(sized) :]))
        _store(w, made)
    name = w.fresh()
    found = Tensor(w, f"{name}#0", tuple(sizes), made.element)
    w.add("\n".join([f"{name}:2 = {_call(read, scalars, found)}", _signature(read, len(scalars), found), *lines]))
    w.add(_ending(len(scalars)))
    return Tensor(w, f"{name}#1", updated.sizes, updated.element), found


def _call(read: Sequence[Tensor], scalars: Sequence[Scalar], found: Tensor) -> str:
    """Writes the dispatch as a call, whose results are `found` and the first of `read`."""
    numbers = ", ".join(scalar.name for scalar in scalars)
    types = ", ".join([*(_sized(tensor) for tensor in read), *["index"] * len(scalars)])
    results = f"{_sized(found)}, {read[0].name}{_open_sizes(read[0])}"
    tensors = ", ".join(tensor.name for tensor in read)
    return f"flow.dispatch.workgroups[{numbers}]({tensors}, {numbers}) : ({types}) -> ({results}) ="


def _signature(read: Sequence[Tensor], numbers: int, found: Tensor) -> str:
    """Writes the arguments of the dispatch's region; those of its workload are %n0, %n1, ..."""
    tensors = [f"%t{place}: {_binding(tensor, place == 0)}" for place, tensor in enumerate(read)]
    scalars = [f"%n{i}: index" for i in range(numbers)]
    return f"({', '.join([*tensors, *scalars])}, %out: !{_DISPATCH}.tensor<writeonly:{found.type}>) {{"


def _ending(numbers: int) -> str:
    """Writes the end of the dispatch's region, and how many workgroups its workload needs."""
    names = [f"%w{i}" for i in range(numbers)]
    return (
        f"flow.return\n}} count({', '.join(f'{name}: index' for name in names)}) -> (index, index, index) {{\n"
        f"%x, %y, %z = {_DISPATCH}.workgroup_count_from_slice({', '.join(names)})\n"
        "flow.return %x, %y, %z : index, index, index\n}"
    )


def _renamed(sizes: Iterable[Size], names: dict[str, Scalar]) -> tuple[Size, ...]:
    return tuple(names[size.name] if isinstance(size, Scalar) else size for size in sizes)


def _open_sizes(tensor: Tensor) -> str:
    found = ", ".join(size.name for size in tensor.sizes if isinstance(size, Scalar))
    return f"{{{found}}}" if found else ""


def _sized(tensor: Tensor) -> str:
    return tensor.type + _open_sizes(tensor)


def _binding(tensor: Tensor, updated: bool) -> str:
    return f"!{_DISPATCH}.tensor<{'readwrite' if updated else 'readonly'}:{tensor.type}>"


def _whole(tensor: Tensor) -> str:
    """A slice that is all of a tensor."""
    sizes = ", ".join(size.name if isinstance(size, Scalar) else str(size) for size in tensor.sizes)
    zeros, ones = (", ".join([each] * len(tensor.sizes)) for each in "01")
    return f"offsets = [{zeros}], sizes = [{sizes}], strides = [{ones}]"


def _load(w: Writer, place: int, tensor: Tensor, names: dict[str, Scalar]) -> Tensor:
    inner = Tensor(w, tensor.name, _renamed(tensor.sizes, names), tensor.element)
    kind = f"{_binding(inner, place == 0)}{_open_sizes(inner)}"
    return w.tensor(
        f"{_DISPATCH}.tensor.load %t{place}, {_whole(inner)} : {kind} -> {inner.type}", inner.sizes, inner.element
    )


def _store(w: Writer, made: Tensor) -> None:
    kind = f"!{_DISPATCH}.tensor<writeonly:{made.type}>{_open_sizes(made)}"
    w.add(f"{_DISPATCH}.tensor.store {made.name}, %out, {_whole(made)} : {made.type} -> {kind}")
