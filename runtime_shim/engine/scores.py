"""Log-probabilities of a text's tokens, from the logits after each: what perplexity is made of. Knows numpy only."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Scores of each token but the first: its natural log-probability given those before it (f64), and the argmax
    (i64).

    The perplexity of the text is exp(-log_probabilities.mean()).
    """

    log_probabilities: npt.NDArray[np.float64]
    argmax: npt.NDArray[np.int64]


def score_tokens(parts: Iterable[npt.NDArray[np.float32]], next_tokens: Sequence[int]) -> Scores:
    """`parts` together are logits [len(next_tokens) + 1, V], some rows at a time; the last row has no next token."""
    targets = np.asarray(next_tokens, np.int64)
    found, best, done = [], [], 0
    for part in parts:
        rows = part[: len(targets) - done]
        found.append(log_probabilities(rows, targets[done : done + len(rows)]))
        best.append(rows.argmax(axis=1))
        done += len(rows)
    return Scores(log_probabilities=np.concatenate(found), argmax=np.concatenate(best))


def log_probabilities(logits: npt.NDArray[np.float32], tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """log softmax(logits [n, V])[i, tokens[i]]; a row at a time, since a vocabulary may have 262,144 tokens."""
    found = np.empty(len(tokens))
    for i, (row, token) in enumerate(zip(logits, tokens, strict=True)):
        best = row.max()
        found[i] = float(row[token] - best) - np.log(np.exp(row - best).sum(dtype=np.float64))
    return found
