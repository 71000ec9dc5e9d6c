"""Tokenizers: taken from a checkpoint's files, or rebuilt from what a GGUF file says of its vocabulary.

Imports from bundler: sources.
"""

from sharkpack.bundler.tokenizer.rebuild import rebuild_tokenizer
from sharkpack.bundler.tokenizer.rebuilt import RebuiltTokenizer
from sharkpack.bundler.tokenizer.tokenizer_of import tokenizer_of

__all__ = ["RebuiltTokenizer", "rebuild_tokenizer", "tokenizer_of"]
