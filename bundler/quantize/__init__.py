"""A source model quantised as it is read: which type each tensor gets, and what that costs in accuracy.

Imports from bundler: model_spec, progress, sources.
"""

from sharkpack.bundler.quantize.mixture import SCHEMES, Scheme
from sharkpack.bundler.quantize.options import QuantizeOptions
from sharkpack.bundler.quantize.quantized_source import QuantizationPlan, QuantizedSource, plan_quantization
from sharkpack.bundler.quantize.report import QuantizationReport, TensorError

__all__ = [
    "SCHEMES",
    "QuantizationPlan",
    "QuantizationReport",
    "QuantizeOptions",
    "QuantizedSource",
    "Scheme",
    "TensorError",
    "plan_quantization",
]
