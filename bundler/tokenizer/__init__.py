"""Tokenizers: taken from a checkpoint's files, or rebuilt from what a GGUF file says of its vocabulary.

Imports from bundler: sources.
"""

from sharkpack.bundler.tokenizer.chat_templates import checkpoint_path
from sharkpack.bundler.tokenizer.rebuild import SPECIAL_NAMES, rebuild_tokenizer
from sharkpack.bundler.tokenizer.rebuilt import RebuiltTokenizer
from sharkpack.bundler.tokenizer.tokenizer_of import tokenizer_of

__all__ = ["SPECIAL_NAMES", "RebuiltTokenizer", "checkpoint_path", "rebuild_tokenizer", "tokenizer_of"]
