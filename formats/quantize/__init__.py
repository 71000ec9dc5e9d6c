"""float32 weights to GGML's blocks, as llama.cpp would store them. What a block then means is `formats.quant`'s.

Imports from formats: errors, quant.
"""

from sharkpack.formats.quantize.types import QUANTIZERS, Quantizer, quantize, quantizer

__all__ = ["QUANTIZERS", "Quantizer", "quantize", "quantizer"]
