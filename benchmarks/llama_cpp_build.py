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
from benchmarks.machine import cpu
from benchmarks.processes import BenchmarkError, run, run_group

PACKAGE = "llama-cpp-python"
REQUIREMENT = f"{PACKAGE}==0.3.36"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way to build. folder: in the cache. flags: for the compilers, besides -march=native."""

    folder: str
    flags: str
    note: str


NATIVE = Variant(folder="native", flags="", note=f"{REQUIREMENT}, native")
WITHOUT_AMX = Variant(
    folder="no-amx", flags="-mno-amx-tile -mno-amx-int8 -mno-amx-bf16", note=f"{REQUIREMENT}, native less AMX"
)
WITH_AMX = Variant(
    folder="amx", flags="-fno-dse -fno-tree-dse", note=f"{REQUIREMENT}, native with AMX, all stores kept"
)
"""GCC 12's header says that loading a tile configuration reads 8 bytes of its 64. The stores of the others are then
left out as dead, and llama.cpp crashes at its first tile multiplication."""


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


def build_once(model: Path, *, amx: bool = False) -> LlamaCpp:
    """Programs in the user's cache, built the first time (some ten minutes on two cores) and tried on `model`."""
    variant = choose_variant(cpu().flags, amx=amx)
    target = CACHE / variant.folder
    finished = target / "finished"
    if not finished.exists():
        _build(target, variant.flags)
        finished.touch()
    programs = target / "bin"
    try:
        run([programs / "llama-bench", "-m", model, "-p", "16", "-n", "2", "-r", "1", "-o", "json"])
    except BenchmarkError as error:
        raise BenchmarkError(f"llama.cpp does not run here, give a working build by --llama-cpp: {error}") from None
    return LlamaCpp(programs=programs, version=_version(programs), note=variant.note)


def choose_variant(cpu_flags: tuple[str, ...], *, amx: bool) -> Variant:
    """Native; where the CPU has AMX less that, unless it is asked for. Raises BenchmarkError for AMX without any."""
    has_amx = any(flag.startswith("amx") for flag in cpu_flags)
    if amx and not has_amx:
        raise BenchmarkError("this CPU has no AMX: leave --amx out")
    if not has_amx:
        return NATIVE
    return WITH_AMX if amx else WITHOUT_AMX


def _build(target: Path, flags: str) -> None:
    """Build into `target`, going on where an interrupted build ended."""
    cmake = shutil.which("cmake")
    if cmake is None:
        raise BenchmarkError("building llama.cpp needs cmake and a C++ compiler: install them, or give --llama-cpp DIR")
    sources = _sources()
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    options = [*OPTIONS, f"-DCMAKE_C_FLAGS={flags}", f"-DCMAKE_CXX_FLAGS={flags}"]
    _step(cmake, *generator, "-S", str(sources), "-B", str(target), *options)
    _step(cmake, "--build", str(target), "-j", str(os.cpu_count() or 1), "--target", *PROGRAMS)


def _sources() -> Path:
    """The unpacked sources, downloaded the first time."""
    sources = CACHE / "source"
    if not sources.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            _step(
                *(sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", PACKAGE),
                *("--dest", scratch, REQUIREMENT),
            )
            (archive,) = Path(scratch).glob("*.tar.gz")
            with tarfile.open(archive) as packed:
                packed.extractall(scratch, filter="data")
            (unpacked,) = Path(scratch).glob("*/vendor/llama.cpp")
            unpacked.rename(sources)
    return sources


def _step(*command: str) -> None:
    status, _, _ = run_group(command, capture=False)
    if status != 0:
        raise BenchmarkError(f"status {status} from: {' '.join(command)}; what it says is above")


def _version(programs: Path) -> str:
    done = subprocess.run(
        [programs / "llama-completion", "--version"], capture_output=True, text=True, timeout=60, check=False
    )
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("version:")]
    return lines[0].removeprefix("version:").strip() if lines else "unknown"
