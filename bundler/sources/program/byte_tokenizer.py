"""The vocabulary of a model that has none: one token a byte."""

from pathlib import Path

from sharkpack.bundler.sources.tokenizer_source import TokenizerSource
from sharkpack.formats.errors import SharkpackError

BYTES = 256


def byte_tokenizer(path: Path, vocab_size: int) -> TokenizerSource:
    """Token i is byte i; SharkpackError when the model has fewer tokens than there are bytes."""
    if vocab_size < BYTES:
        raise SharkpackError(
            f"{path}: vocab_size is {vocab_size}; one token a byte needs {BYTES}, or name a folder with tokenizer.json"
        )
    return TokenizerSource(
        path=path,
        model="gpt2",
        pre=None,
        tokens=_letters(),
        scores=None,
        token_types=None,
        merges=[],
        special_ids={},
        add_bos=False,
        add_eos=False,
        add_space_prefix=False,
        chat_templates={},
        model_name="",
    )


def _letters() -> list[str]:
    """The letter that byte-level vocabularies write for each byte: itself where it prints, else one from 256 on."""
    printed = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = [byte for byte in range(BYTES) if byte not in printed]
    return [chr(byte if byte in printed else BYTES + others.index(byte)) for byte in range(BYTES)]
