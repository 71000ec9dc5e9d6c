"""A source model quantised as it is read: which type each tensor gets, and what that costs in accuracy."""

from sharkpack.bundler.quantize.mixture import SCHEMES, Scheme
from sharkpack.bundler.quantize.options import QuantizeOptions
from sharkpack.bundler.quantize.quantized_source import QuantizedSource, quantize_source
from sharkpack.bundler.quantize.report import QuantizationReport, TensorError

__all__ = [
    "SCHEMES",
    "QuantizationReport",
    "QuantizeOptions",
    "QuantizedSource",
    "Scheme",
    "TensorError",
    "quantize_source",
]
