"""Models by name or path, as GGUF files on this machine."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import BenchmarkError
from sharkpack.bundler.sources.fetch.fetch import fetch_registered
from sharkpack.formats.errors import SharkpackError
from tests.real_models import MODELS

DEMO = "smollm2-135m"
NAMES = tuple(MODELS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A name to report under, and its file."""

    name: str
    path: Path


def find_model(name: str) -> Model:
    """The model at a path, or the one of a known name, fetched if need be. Raises BenchmarkError."""
    path = Path(name)
    if path.suffix == ".gguf" and path.exists():
        return Model(name=path.stem, path=path)
    if name not in MODELS:
        raise BenchmarkError(f"no model {name!r}: give the path of a GGUF file, or one of {', '.join(NAMES)}")
    try:
        return Model(name=name, path=fetch_registered(MODELS[name], None).path)
    except SharkpackError as error:
        raise BenchmarkError(str(error)) from error
