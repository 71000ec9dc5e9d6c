"""tokenizer.model files, written field by field (sentencepiece_model.proto)."""

import struct
from collections.abc import Sequence

BPE = 2


def sentencepiece_model(
    tokens: Sequence[str],
    scores: Sequence[float],
    types: Sequence[int],
    *,
    model_type: int = BPE,
    special_ids: tuple[int, int, int] = (0, 1, 2),
    add_prefix: bool = True,
    character_map: bytes = b"",
) -> bytes:
    """The file of that vocabulary; `special_ids` are those of unknown, BOS and EOS."""
    pieces = [
        text(1, token.encode()) + varint(2 << 3 | 5) + struct.pack("<f", score) + number(3, kind)
        for token, score, kind in zip(tokens, scores, types, strict=True)
    ]
    trainer = number(3, model_type) + b"".join(number(40 + i, value) for i, value in enumerate(special_ids))
    normalizer = text(1, b"identity") + text(2, character_map) + number(3, add_prefix)
    return b"".join(text(1, piece) for piece in pieces) + text(2, trainer) + text(3, normalizer)


def varint(value: int) -> bytes:
    head = b""
    while value > 127:
        head += bytes([value & 127 | 128])
        value >>= 7
    return head + bytes([value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def text(field: int, value: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(value)) + value
