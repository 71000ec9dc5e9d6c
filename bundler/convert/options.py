"""Options of a conversion, and its report. Data only."""

from dataclasses import dataclass
from pathlib import Path

from sharkpack.bundler.quantize import QuantizationReport, QuantizeOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertOptions:
    """output: its suffix, .gguf or .irpa, says what is written. quantize: None keeps the source's types."""

    source: str
    output: Path
    quantize: QuantizeOptions | None = None
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertReport:
    """Sizes in bytes, times in seconds. warnings: what the file does not say of its source, a sentence each."""

    path: Path
    size: int
    source_size: int
    tensors: int
    warnings: tuple[str, ...]
    step_seconds: dict[str, float]
    quantization: QuantizationReport | None
