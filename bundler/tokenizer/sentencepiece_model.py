"""A tokenizer.model file (SentencePiece's sentencepiece_model.proto) as a vocabulary. Knows BPE models alone."""

from pathlib import Path

from sharkpack.bundler.sources.json_file import read_bytes
from sharkpack.bundler.sources.tokenizer_source import TokenizerSource, TokenType
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.model_files.protobuf import read_fields

MAX_BYTES = 64 << 20

# Field numbers of ModelProto, and of its messages.
_PIECE, _TRAINER, _NORMALIZER = 1, 2, 3
_TEXT, _SCORE, _TYPE = 1, 2, 3
_MODEL_TYPE, _UNKNOWN, _BEGIN, _END, _PADDING = 3, 40, 41, 42, 43
_CHARACTER_MAP, _ADD_DUMMY_PREFIX = 2, 3
_BPE = 2
_NONE = (1 << 64) - 1  # -1 as a varint


def read_sentencepiece_model(path: Path) -> TokenizerSource:
    """The vocabulary in the file; SharkpackError when it is broken, no BPE model, or normalises text."""
    try:
        return _read(path, read_bytes(path, MAX_BYTES))
    except SharkpackError as error:
        text = str(error)
        raise SharkpackError(text if text.startswith(str(path)) else f"{path}: {text}") from error


def _read(path: Path, data: bytes) -> TokenizerSource:
    pieces, trainer, normalizer = [], dict[int, object](), dict[int, object]()
    for number, value in read_fields(data):
        if number == _PIECE:
            pieces.append(_piece(value))
        elif number == _TRAINER:
            trainer = dict(read_fields(_message(value)))
        elif number == _NORMALIZER:
            normalizer = dict(read_fields(_message(value)))
    if not pieces:
        raise SharkpackError("holds no SentencePiece vocabulary")
    if trainer.get(_MODEL_TYPE) != _BPE:
        raise SharkpackError("a SentencePiece model that is not BPE; supported: BPE, or a tokenizer.json beside it")
    if normalizer.get(_CHARACTER_MAP):
        raise SharkpackError("a SentencePiece model that normalises text; a tokenizer.json beside it is used instead")
    names = {"unknown": (_UNKNOWN, 0), "bos": (_BEGIN, 1), "eos": (_END, 2), "padding": (_PADDING, _NONE)}
    ids = {name: trainer.get(number, default) for name, (number, default) in names.items()}
    return TokenizerSource(
        path=path,
        model="llama",
        pre=None,
        tokens=[text for text, _, _ in pieces],
        scores=[score for _, score, _ in pieces],
        token_types=[kind for _, _, kind in pieces],
        merges=None,
        special_ids={name: index for name, index in ids.items() if isinstance(index, int) and index < len(pieces)},
        add_bos=None,
        add_eos=None,
        add_space_prefix=normalizer.get(_ADD_DUMMY_PREFIX, 1) != 0,
        chat_templates={},
        model_name="",
    )


def _piece(value: object) -> tuple[str, float, int]:
    """Text, score and type, which GGUF numbers as SentencePiece does."""
    fields = dict(read_fields(_message(value)))
    text, score, kind = fields.get(_TEXT, b""), fields.get(_SCORE, 0.0), fields.get(_TYPE, TokenType.NORMAL)
    if not isinstance(text, bytes) or not isinstance(score, float) or not isinstance(kind, int):
        raise SharkpackError("a piece of the vocabulary has fields of the wrong type")
    try:
        return text.decode("utf-8"), score, kind
    except UnicodeDecodeError as error:
        raise SharkpackError("a piece of the vocabulary is not UTF-8") from error


def _message(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise SharkpackError("not a SentencePiece model")
    return value
