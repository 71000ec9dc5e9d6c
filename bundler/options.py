"""Options of a build, and its report. Data only."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sharkpack.bundler.quantize.options import QuantizeOptions
from sharkpack.bundler.quantize.report import QuantizationReport

DEFAULT_CONTEXT = 2048
DEFAULT_BATCH_SIZES = (1, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """output: None is beside the source. context: None is DEFAULT_CONTEXT, or less if the model was trained on less.
    batch_sizes: None is DEFAULT_BATCH_SIZES, or those that a program has. page_size, cache_dtype, activations: None is
    32, f16 and int8, or what a program says.
    program: whether the bundle holds the program, for further targets.
    cache: whether to take code from the compile cache and to keep it there. quantize: None keeps the source's types."""

    source: str
    output: Path | None = None
    targets: tuple[str, ...] = ("host",)
    batch_sizes: tuple[int, ...] | None = None
    context: int | None = None
    page_size: int | None = None
    cache_dtype: Literal["f16", "f32", "i8"] | None = None
    activations: Literal["int8", "float32"] | None = None
    force: bool = False
    program: bool = True
    cache: bool = True
    quantize: QuantizeOptions | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltTarget:
    """A target's module: its size in bytes, the seconds it took to compile or to find, and whether it was found."""

    id: str
    size: int
    seconds: float
    cached: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildReport:
    """Sizes in bytes, times in seconds. `warnings`: what did not stop the build, a sentence each."""

    path: Path
    size: int
    source_size: int
    targets: tuple[BuiltTarget, ...]
    step_seconds: dict[str, float]
    peak_memory_bytes: int
    warnings: tuple[str, ...] = ()
    quantization: QuantizationReport | None = None
