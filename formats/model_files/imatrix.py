"""Importance matrices as llama-imatrix writes them: how strongly each input of each matrix was used on some text.

Both formats, GGUF and the older .dat. Knows the files, not which model they belong to.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.io.file_kind import explain_missing, wrong_file
from sharkpack.formats.io.one_line import one_line
from sharkpack.formats.model_files.gguf import MAGIC, GGUFFile
from sharkpack.formats.quant.block import Floats

_SUMS, _COUNTS = ".in_sum2", ".counts"
_INT = struct.Struct("<i")
_MAX_BYTES = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportanceMatrix:
    """`means`: by tensor name, the mean square of each input, finite and not negative: float32 [columns], or
    [experts * columns] of a stack of matrices."""

    path: Path
    means: Mapping[str, Floats] = field(repr=False)


def read_imatrix(path: Path) -> ImportanceMatrix:
    """Read the importance matrix at `path`; SharkpackError when it is neither kind of one, or its numbers are none."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise SharkpackError(f"{path}: {path.stat().st_size} bytes are too many for an importance matrix")
        with path.open("rb") as file:
            in_gguf = file.read(len(MAGIC)) == MAGIC
        means = dict(_read_gguf(path) if in_gguf else _read_dat(path, path.read_bytes()))
    except FileNotFoundError as error:
        raise SharkpackError(f"{path}: {explain_missing(path)}") from error
    except OSError as error:
        raise SharkpackError(f"{path}: cannot be read: {error.strerror}") from error
    for name, values in means.items():
        if not np.isfinite(values).all() or values.min() < 0:
            raise SharkpackError(f"{path}: the importance of '{one_line(name)}' is not all finite and positive numbers")
    return ImportanceMatrix(path=path, means=means)


def _read_gguf(path: Path) -> Iterator[tuple[str, Floats]]:
    """Sums over tokens and, for each expert, the number of tokens it saw; where it saw none, all inputs count alike."""
    with GGUFFile.open(path) as file:
        names = [name.removesuffix(_SUMS) for name in file.tensors if name.endswith(_SUMS)]
        if not names:
            raise SharkpackError(f"{path}: not an importance matrix: it has no tensor '*{_SUMS}'; see llama-imatrix")
        for name in names:
            sums, counts = _f32(file, name + _SUMS), np.rint(_f32(file, name + _COUNTS))
            if sums.size % counts.size:
                raise SharkpackError(f"{path}: {counts.size} counts of '{one_line(name)}' do not divide {sums.size}")
            by_expert, seen = sums.reshape(counts.size, -1), counts[:, None]
            means = np.divide(by_expert, seen, out=np.ones_like(by_expert), where=seen > 0)
            yield name, means.reshape(-1)


def _f32(file: GGUFFile, name: str) -> Floats:
    tensor = file.tensors.get(name)
    if tensor is None or tensor.type_name != "F32":
        found = "is missing" if tensor is None else f"has type {tensor.type_name}, not F32"
        raise SharkpackError(f"{file.path}: not a whole importance matrix: tensor '{one_line(name)}' {found}")
    return file.raw(name).view("<f4").astype(np.float32)


def _read_dat(path: Path, data: bytes) -> Iterator[tuple[str, Floats]]:
    """A count; then of each tensor: length and name, number of calls, number of values, values."""
    position = 0

    def take(size: int) -> bytes:
        nonlocal position
        if not 0 <= size <= len(data) - position:
            problem = f"or cut short at byte {position} of {len(data)}"
            raise wrong_file(path, "an importance matrix", problem)
        position += size
        return data[position - size : position]

    def integer() -> int:
        return int(_INT.unpack(take(_INT.size))[0])

    for _ in range(integer()):
        name = take(integer()).decode("utf-8", errors="replace")
        calls = integer()
        sums = np.frombuffer(take(4 * integer()), "<f4")
        if not sums.size:
            raise SharkpackError(f"{path}: the importance of '{one_line(name)}' is empty")
        yield name, sums.astype(np.float32) / np.float32(calls if calls > 0 else 1)
