"""Bytes to write: anything with a C-contiguous buffer, numpy arrays of any type included."""

from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from typing_extensions import Buffer

# numpy's arrays are buffers, but the type checkers of Python 3.11 do not know it.
Bytes: TypeAlias = Union["Buffer", npt.NDArray[Any]]


def as_bytes(data: Bytes) -> memoryview:
    """A flat view of the bytes of `data`, not copied."""
    view = data.data if isinstance(data, np.ndarray) else memoryview(data)
    return view.cast("B")
