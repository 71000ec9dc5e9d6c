"""A safetensors file, mapped: its header checked when it opens, its tensors read where they lie."""

import os
from collections.abc import Mapping
from typing import Self

import numpy as np
import numpy.typing as npt

from sharkpack.formats.io.mapped_file import MappedFile
from sharkpack.formats.model_files.safetensors_index import SafetensorsIndex, SafetensorsTensor, read_safetensors_index
from sharkpack.formats.model_files.zero_tail import refuse_zero_tail


class SafetensorsFile:
    """An open safetensors file. Views that `raw` gave outlive `close`."""

    def __init__(self, index: SafetensorsIndex, file: MappedFile) -> None:
        self.path = index.path
        self.size = index.size
        self.tensors: Mapping[str, SafetensorsTensor] = index.tensors
        self._file = file

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Raises SharkpackError when it is not a whole, well-formed safetensors file."""
        return cls(read_safetensors_index(path), MappedFile.open(path))

    def raw(self, name: str) -> npt.NDArray[np.uint8]:
        """The bytes of the tensor `name`, read-only, nothing copied."""
        tensor = self.tensors[name]
        return self._file.view(tensor.offset, tensor.nbytes)

    def release(self, name: str) -> None:
        """Let the system drop the tensor's pages from memory."""
        tensor = self.tensors[name]
        self._file.release(tensor.offset, tensor.nbytes)

    def refuse_zero_tail(self) -> None:
        """Raise SharkpackError where the file ends in zeros because its download broke off."""
        refuse_zero_tail(self.path, self._file.view(0, self.size), self.tensors.values())

    def close(self) -> None:
        self._file.close()
