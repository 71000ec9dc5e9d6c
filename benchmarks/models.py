"""Models by name or path, as GGUF files on this machine."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import ROOT, BenchmarkError
from sharkpack.bundler.sources.fetch import REGISTERED, locate

DEMO = "smollm2-135m"
FILES = {
    DEMO: "SmolLM2-135M-Instruct.Q4_1.gguf",
    "gemma3-270m": "gemma-3-270m-q4_k_m.gguf",
    "qwen2.5-coder-0.5b": "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
}
MODEL_FETCHER = ROOT.parent / "shared" / "models" / "fetch.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A name to report under, and its file."""

    name: str
    path: Path


def find_model(name: str) -> Model:
    """A path as it is; a known name from where models are kept, fetched first where a script can."""
    path = Path(name)
    if path.suffix == ".gguf" and path.exists():
        return Model(name=path.stem, path=path)
    if name not in FILES:
        raise BenchmarkError(f"no model {name!r}: give the path of a GGUF file, or one of {', '.join(FILES)}")
    default = Path.home() / ".cache" / "sharkpack" / "models"
    kept = Path(os.environ.get("SHARKPACK_MODELS", default)) / FILES[name]
    return Model(name=name, path=kept if kept.exists() else _fetch(name, kept))


def _fetch(name: str, kept: Path) -> Path:
    if name in REGISTERED:
        return locate(name, None).path
    if not MODEL_FETCHER.exists():
        raise BenchmarkError(f"{kept} is not there: put it there, or give the path of a GGUF file")
    done = subprocess.run([sys.executable, str(MODEL_FETCHER), name], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise BenchmarkError(f"{name} could not be fetched; what the fetcher says is above")
    return Path(done.stdout.strip())
