"""Tokenizers, rebuilt from what a model file says of its vocabulary."""

from sharkpack.bundler.tokenizer.rebuild import RebuiltTokenizer, rebuild_tokenizer

__all__ = ["RebuiltTokenizer", "rebuild_tokenizer"]
