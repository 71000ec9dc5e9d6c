"""The reference outputs in tests/golden: greedy tokens, first logits and token ids of the real models.

They were computed by llama.cpp; scripts/write_goldens.py says how, and writes them.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zstandard

FOLDER = Path(__file__).parent / "golden"
LEVELS = 65535
"""Steps from the lowest logit of a row to its highest: for logits within 50 of each other, an error of 0.0004."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One golden prompt and what the float32 reference computes for it.

    margins: the best logit less the second best, before each generated token. exact: f64 [vocabulary], the logits after
    the prompt. llamacpp_divergence: KL(exact || llama.cpp with its defaults) of the first token, in nats.
    """

    name: str
    text: str
    prompt_ids: list[int]
    generated_ids: list[int]
    margins: list[float]
    exact: Floats
    llamacpp_divergence: float

    def agreed_length(self, margin: float) -> int:
        """Tokens before the first whose margin is below `margin`."""
        return next((step for step, found in enumerate(self.margins) if found < margin), len(self.margins))


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizedString:
    """A string and llama.cpp's token ids of it, without BOS."""

    text: str
    ids: list[int]


def prompts_of(model: str) -> list[Prompt]:
    """The golden prompts of a model."""
    records = _read(f"{model}.json")["prompts"]
    rows = decode_rows((FOLDER / f"{model}.logits.zst").read_bytes(), [record.pop("range") for record in records])
    return [Prompt(**record, exact=row) for record, row in zip(records, rows, strict=True)]


def tokenized_strings_of(model: str) -> list[TokenizedString]:
    """The golden strings of a model's tokenizer."""
    return [TokenizedString(**record) for record in _read(f"{model}.tokenizer.json")["strings"]]


def encode_rows(rows: list[Floats]) -> tuple[bytes, list[tuple[float, float]]]:
    """Rows of one length in 16 bits a value, compressed; and the lowest and highest value of each row."""
    ranges = [(float(row.min()), float(row.max())) for row in rows]
    codes = [
        np.rint((row - low) / (high - low) * LEVELS).astype(np.uint16)
        for row, (low, high) in zip(rows, ranges, strict=True)
    ]
    planes = b"".join((code >> shift & 255).astype(np.uint8).tobytes() for code in codes for shift in (8, 0))
    return zstandard.ZstdCompressor(level=19).compress(planes), ranges


def decode_rows(data: bytes, ranges: list[tuple[float, float]]) -> list[Floats]:
    """The inverse of encode_rows, but for rounding."""
    planes = np.frombuffer(zstandard.ZstdDecompressor().decompress(data), np.uint8).reshape(len(ranges), 2, -1)
    codes = planes.astype(np.float64)
    return [
        low + (256 * high_bytes + low_bytes) * ((high - low) / LEVELS)
        for (high_bytes, low_bytes), (low, high) in zip(codes, ranges, strict=True)
    ]


def log_softmax(logits: Floats) -> Floats:
    """Log-probabilities of logits [vocabulary]."""
    shifted = logits - logits.max()
    result: Floats = shifted - np.log(np.exp(shifted).sum())
    return result


def divergence(exact: Floats, other: Floats) -> float:
    """KL(exact || other) in nats; both are logits [vocabulary]."""
    p, q = log_softmax(exact), log_softmax(other)
    return float((np.exp(p) * (p - q)).sum())


def _read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((FOLDER / name).read_text("utf-8"))
    return content
