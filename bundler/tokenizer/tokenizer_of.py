"""The tokenizer of any source."""

from sharkpack.bundler.sources.tokenizer_files import TokenizerFiles
from sharkpack.bundler.sources.tokenizer_source import TokenizerSource
from sharkpack.bundler.tokenizer.files import read_tokenizer_files
from sharkpack.bundler.tokenizer.rebuild import rebuild_tokenizer
from sharkpack.bundler.tokenizer.rebuilt import RebuiltTokenizer


def tokenizer_of(source: TokenizerSource | TokenizerFiles) -> RebuiltTokenizer:
    """That of a checkpoint's folder as it is, that of a GGUF file made anew; SharkpackError for one that is broken or
    of a kind that is not supported."""
    return read_tokenizer_files(source) if isinstance(source, TokenizerFiles) else rebuild_tokenizer(source)
