"""A source model as recipes see it: nothing of it that the key of a spec does not hold, or that is not noted."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sharkpack.templates.layers.source import Source, TensorInfo


@dataclass(frozen=True, slots=True)
class ObservedTensor:
    """A tensor of a source; when its content is read, `reads` has the SHA-256 of that under its name."""

    name: str
    _tensor: TensorInfo = field(repr=False)
    _reads: dict[str, str] = field(repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._tensor.shape

    @property
    def type_name(self) -> str:
        return self._tensor.type_name

    def read(self) -> NDArray[np.uint8]:
        data = self._tensor.read()
        self._reads[self.name] = hashlib.sha256(data.data).hexdigest()
        return data


class ObservedSource:
    """A `Source` that shows of another its tensors and its hyperparameters: not its name, texts or vocabulary.

    reads: the tensors whose content was read so far, and its SHA-256.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.kind, self.architecture = source.kind, source.architecture
        self.ggml_row_order, self.stored_name = source.ggml_row_order, source.stored_name
        prefix = f"{source.architecture}."
        self.metadata = {key: value for key, value in source.metadata.items() if key.startswith(prefix)}
        self.reads: dict[str, str] = {}
        self.tensors = {name: ObservedTensor(name, tensor, self.reads) for name, tensor in source.tensors.items()}

    def described(self) -> list[Any]:
        """All that it shows but the content of tensors."""
        tensors = [[name, tensor.type_name, tensor.shape] for name, tensor in self.tensors.items()]
        return [self.kind, self.architecture, self.ggml_row_order, self.metadata, tensors]

    def integer(self, key: str, default: int | None = None) -> int:
        return self._source.integer(key, default)

    def floating(self, key: str, default: float | None = None) -> float:
        return self._source.floating(key, default)

    def text(self, key: str, default: str | None = None) -> str:
        return self._source.text(key, default)

    def boolean(self, key: str, default: bool | None = None) -> bool:
        return self._source.boolean(key, default)
