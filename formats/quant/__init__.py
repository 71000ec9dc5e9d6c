"""GGML block types: sizes, codes, scales and minimums of a block, and the reference dequantisation. Not the packing.

Imports from formats: errors.
"""

from sharkpack.formats.quant.block import DecodedBlocks, QuantType, ScaleType, block_values
from sharkpack.formats.quant.types import QUANT_TYPES, dequantize, quant_type

__all__ = ["QUANT_TYPES", "DecodedBlocks", "QuantType", "ScaleType", "block_values", "dequantize", "quant_type"]
