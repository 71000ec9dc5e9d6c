"""Source models as the builder sees them: hyperparameters, lazy tensors, a vocabulary, and where it came from."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from sharkpack.bundler.sources.metadata import REQUIRED, Metadata, Required
from sharkpack.bundler.sources.program_description import ProgramDescription
from sharkpack.bundler.sources.tensors import SourceTensor, TensorDescription
from sharkpack.bundler.sources.tokenizer_files import TokenizerFiles
from sharkpack.bundler.sources.tokenizer_source import TokenizerSource
from sharkpack.formats.archive.manifest import NO_CARD, NO_DEFAULTS, GenerationDefaults, ModelCard
from sharkpack.formats.errors import SharkpackError

_D = TypeVar("_D")

_BLOCK = 16 << 20
"""Bytes hashed at once: after each, a thread that runs Python beside has to give way, which takes both of them time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceDescription:
    """A source model without the way to its weights: as much as plans are made from.

    The typed getters (`integer`, `floating`, `text`, `boolean`, and `integers`, `floats`, `texts`, `booleans` for
    arrays) read the hyperparameter "<architecture>.<key>"; they raise SharkpackError naming that key when the value
    has another type, or is absent and no `default` is given.

    ggml_row_order: rows of q and k are in the order that ggml wants: of the architectures whose rotation pairs
    neighbours there (Llama), rows (2i, 2i + 1) of a head are rotated together. Otherwise, as published, i and i + half.
    files: all that it is read from. origin: what a bundle says that it was built from. size: bytes of the files.
    tensors: by name; those that recipes read while a plan is made, which are small, can be read.
    stored_name: what its files call a tensor, for people to find it. card, generation: what it says of itself, and
    how it advises to generate. program: the model itself, where it is a program.
    """

    kind: str
    path: Path
    files: tuple[Path, ...] = field(repr=False)
    origin: str
    size: int
    architecture: str
    name: str
    quantization: str
    license: str | None
    ggml_row_order: bool
    tokenizer: TokenizerSource | TokenizerFiles = field(repr=False)
    tensors: Mapping[str, TensorDescription] = field(repr=False)
    metadata: Mapping[str, Any] = field(repr=False)
    stored_name: Callable[[str], str] = field(default=str, repr=False)
    card: ModelCard = field(default=NO_CARD, repr=False)
    generation: GenerationDefaults = field(default=NO_DEFAULTS, repr=False)
    program: ProgramDescription | None = field(default=None, repr=False)

    def hyperparameters(self) -> tuple[str, ...]:
        """The keys that the file has under its architecture, without the prefix."""
        prefix = f"{self.architecture}."
        return tuple(key.removeprefix(prefix) for key in self.metadata if key.startswith(prefix))

    def integer(self, key: str, default: int | None = None) -> int:
        return self._values.integer(self._key(key), _or_required(default))

    def floating(self, key: str, default: float | None = None) -> float:
        return self._values.floating(self._key(key), _or_required(default))

    def text(self, key: str, default: str | None = None) -> str:
        return self._values.text(self._key(key), _or_required(default))

    def boolean(self, key: str, default: bool | None = None) -> bool:
        return self._values.boolean(self._key(key), _or_required(default))

    def integers(self, key: str, default: list[int] | None = None) -> list[int]:
        return self._values.integers(self._key(key), _or_required(default))

    def floats(self, key: str, default: list[float] | None = None) -> list[float]:
        return self._values.floats(self._key(key), _or_required(default))

    def texts(self, key: str, default: list[str] | None = None) -> list[str]:
        return self._values.texts(self._key(key), _or_required(default))

    def booleans(self, key: str, default: list[bool] | None = None) -> list[bool]:
        return self._values.booleans(self._key(key), _or_required(default))

    @property
    def _values(self) -> Metadata:
        return Metadata(path=self.path, values=self.metadata)

    def _key(self, key: str) -> str:
        return f"{self.architecture}.{key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceModel(SourceDescription):
    """An opened source model, whose tensors can be read until it is closed; a context manager."""

    tensors: Mapping[str, SourceTensor] = field(repr=False)
    close: Callable[[], None] = field(repr=False)

    def tensor(self, name: str) -> SourceTensor:
        """The tensor called `name`; SharkpackError when the file has none."""
        if name not in self.tensors:
            raise SharkpackError(f"{self.path}: no tensor is named '{name}', which the architecture needs")
        return self.tensors[name]

    def sha256(self) -> str:
        """The SHA-256 of the file, in hexadecimal; of several, that of what `sha256sum FILE...` prints of them, sorted
        by name. Reads all of them, in blocks, anew at each call."""
        if self.files == (self.path,):
            return _file_sha256(self.path)
        lines = (f"{_file_sha256(path)}  {path.name}\n" for path in sorted(self.files))
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _or_required(default: _D | None) -> _D | Required:
    return REQUIRED if default is None else default


def _file_sha256(path: Path) -> str:
    block, found = memoryview(bytearray(_BLOCK)), hashlib.sha256()
    try:
        with path.open("rb", buffering=0) as file:
            while count := file.readinto(block):
                found.update(block[:count])
        return found.hexdigest()
    except OSError as error:
        raise SharkpackError(f"{path}: cannot be read: {error.strerror}") from error
