"""Model specs as bytes: JSON, with the arrays in it as base64, each once. Says what a build read to make them."""

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sharkpack.bundler.model_spec.spec import ModelSpec
from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.layers.weights import PackedWeight, TableWeight, VectorWeight, Weight

_KINDS = {kind.__name__: kind for kind in (PackedWeight, TableWeight, VectorWeight)}
"""What recipes declare."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedSpec:
    """A model spec without the way to its model, and the tensors whose content it depends on: name -> SHA-256 of
    that."""

    spec: ModelSpec
    reads: Mapping[str, str]

    def to_bytes(self) -> bytes:
        """Returns the same bytes for equal specs."""
        arrays = _Arrays()
        document = {
            "vocab_size": self.spec.vocab_size,
            "cache_layout": asdict(self.spec.cache_layout),
            "weights": [_written(weight, arrays) for weight in self.spec.weights.values()],
            "state": self.spec.state,
            "reads": dict(self.reads),
            "arrays": arrays.written,
        }
        return json.dumps(document).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "CachedSpec | None":
        """None of bytes that hold none."""
        try:
            document = json.loads(data)
            arrays = [_array(*each) for each in document["arrays"]]
            weights = [_read(each, arrays) for each in document["weights"]]
            spec = ModelSpec(
                vocab_size=document["vocab_size"],
                cache_layout=CacheLayout(**document["cache_layout"]),
                weights={weight.name: weight for weight in weights},
                state=document["state"],
            )
            return cls(spec=spec, reads=dict(document["reads"]))
        except (ValueError, TypeError, LookupError):
            return None


@dataclass(slots=True)
class _Arrays:
    """Arrays to be written; of equal ones, which layers have many of, the first."""

    written: list[list[Any]] = field(default_factory=list)
    _places: dict[tuple[Any, ...], int] = field(default_factory=dict)

    def place(self, array: NDArray[Any]) -> int:
        content = array.tobytes()
        identity = (array.dtype.str, array.shape, content)
        if identity not in self._places:
            self._places[identity] = len(self.written)
            self.written.append([array.dtype.str, array.shape, base64.b64encode(content).decode("ascii")])
        return self._places[identity]


def _array(dtype: str, shape: list[int], content: str) -> NDArray[Any]:
    return np.frombuffer(base64.b64decode(content), np.dtype(dtype)).reshape(shape)


def _written(weight: Weight, arrays: _Arrays) -> dict[str, Any]:
    """Its fields, arrays as {"array": place}, and its kind."""
    values = {each.name: getattr(weight, each.name) for each in fields(weight)}
    made = {
        name: {"array": arrays.place(value)} if isinstance(value, np.ndarray) else value
        for name, value in values.items()
    }
    return {"kind": type(weight).__name__, **made}


def _read(written: dict[str, Any], arrays: list[NDArray[Any]]) -> Weight:
    kind = _KINDS[written["kind"]]
    return kind(**{name: _value(value, arrays) for name, value in written.items() if name != "kind"})


def _value(value: Any, arrays: list[NDArray[Any]]) -> Any:
    if isinstance(value, dict):
        return arrays[value["array"]]
    return tuple(value) if isinstance(value, list) else value
