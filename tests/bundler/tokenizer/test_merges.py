"""The merges that are kept do what all merges would: held against a plain reading of both merging rules."""

import random
from collections.abc import Callable
from itertools import pairwise, product

import pytest
from tokenizers import Tokenizer, models

from sharkpack.bundler.tokenizer.merges import merges_by_score, needed_merges

LETTERS = "abc"
TEXTS = ["".join(letters) for length in range(1, 8) for letters in product(LETTERS, repeat=length)]


def merge(text: str, priority: Callable[[str, str], float | None]) -> list[str]:
    """Join the neighbours of the lowest priority, leftmost first, until none has one."""
    parts = list(text)
    while True:
        ranks = [priority(left, right) for left, right in pairwise(parts)]
        known = [rank for rank in ranks if rank is not None]
        if not known:
            return parts
        at = ranks.index(min(known))
        parts[at : at + 2] = [parts[at] + parts[at + 1]]


def library(tokens: list[str], merges: list[tuple[str, str]]) -> Tokenizer:
    return Tokenizer(models.BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=merges))


def some_tokens(seed: int, count: int) -> list[str]:
    generator = random.Random(seed)
    longer = {"".join(generator.choices(LETTERS, k=generator.randint(2, 5))) for _ in range(count)}
    return [*LETTERS, *generator.sample(sorted(longer), len(longer))]


@pytest.mark.parametrize("seed", range(8))
def test_one_merge_a_token_does_what_scores_do(seed: int) -> None:
    tokens = some_tokens(seed, 25)
    scores = {token: -float(index) for index, token in enumerate(tokens)}
    merges = merges_by_score([token for token in tokens if len(token) > 1], scores)
    assert len({left + right for left, right in merges}) == len(merges)
    tokenizer = library(tokens, merges)
    for text in TEXTS[:: 1 + seed]:
        expected = merge(text, lambda left, right: -scores[left + right] if left + right in scores else None)
        assert tokenizer.encode(text).tokens == expected, text


@pytest.mark.parametrize("seed", range(8))
def test_merges_that_never_take_place_are_left_out_without_a_trace(seed: int) -> None:
    tokens = some_tokens(seed, 60)
    cuts = [(token[:at], token[at:]) for token in tokens for at in range(1, len(token))]
    merges = [(left, right) for left, right in cuts if left in tokens and right in tokens]
    random.Random(seed).shuffle(merges)
    needed = needed_merges([*merges, *merges[:3]])
    assert len(needed) < len(merges)
    ranks = {pair: float(rank) for rank, pair in enumerate(merges)}
    tokenizer = library(tokens, needed)
    for text in TEXTS[:: 1 + seed]:
        assert tokenizer.encode(text).tokens == merge(text, lambda left, right: ranks.get((left, right))), text


def test_merges_keep_their_order() -> None:
    merges = [("b", "c"), ("a", "b"), ("c", "a")]
    assert needed_merges(merges) == merges
    assert merges_by_score(["ab", "abc"], {"a": 0, "b": 0, "c": 0, "ab": -1, "abc": 5}) == [("ab", "c"), ("a", "b")]
