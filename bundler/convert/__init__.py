"""A source model written as one file that other tools read: GGUF, or an IREE parameter archive.

Imports from bundler: background, pipeline, progress, quantize, sources, tokenizer.
"""

from sharkpack.bundler.convert.convert import convert_model
from sharkpack.bundler.convert.options import ConvertOptions, ConvertReport

__all__ = ["ConvertOptions", "ConvertReport", "convert_model"]
