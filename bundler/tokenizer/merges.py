"""The merges that a vocabulary needs: at most one a token.

A token that forms does so by the merges that its own text, alone, goes through: any merge across its border would
have kept it from forming. So the last merge of that process is the only one that ever makes the token, and all other
ways to cut it in two can be left out.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

_NEVER = float("-inf")


def merges_by_score(tokens: Iterable[str], scores: Mapping[str, float]) -> list[tuple[str, str]]:
    """The merges that make each of `tokens`, best first, when any two neighbours join if their union has a score.

    The best score joins first and the leftmost of equals; this is how SentencePiece vocabularies merge. Among equal
    scores the longer token comes first, so that runs of one character grow from the left. Merges that would need a
    character which is no token are left out.
    """
    merges = []
    for token in tokens:
        left, right = _last_join(token, scores)
        if left in scores and right in scores:
            merges.append((scores[token], len(token), left, right))
    merges.sort(key=lambda merge: (-merge[0], -merge[1]))
    return [(left, right) for _, _, left, right in merges]


def needed_merges(merges: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those of `merges`, best first, that ever take place. Repeated pairs count at their first place."""
    ranks: dict[tuple[str, str], int] = {}
    for rank, pair in enumerate(merges):
        ranks.setdefault(pair, rank)
    ways: dict[str, int] = {}
    for left, right in ranks:
        ways[left + right] = ways.get(left + right, 0) + 1
    if len(ways) == len(ranks):
        return list(ranks)
    last = {token: _last_merge(token, ranks) for token, count in ways.items() if count > 1}
    return [pair for pair in ranks if last.get(pair[0] + pair[1], pair) == pair]


def _last_join(token: str, scores: Mapping[str, float]) -> tuple[str, str]:
    """The two parts whose joining completes `token` merged alone; ("", "") when they never meet."""
    get = scores.get
    parts = list(token)
    joins = [get(left + right, _NEVER) for left, right in pairwise(parts)]
    while len(joins) > 1:
        best = max(joins)
        if best == _NEVER:
            return "", ""
        at = joins.index(best)
        parts[at] += parts.pop(at + 1)
        del joins[at]
        if at:
            joins[at - 1] = get(parts[at - 1] + parts[at], _NEVER)
        if at < len(joins):
            joins[at] = get(parts[at] + parts[at + 1], _NEVER)
    return (parts[0], parts[1]) if joins else ("", "")


def _last_merge(token: str, ranks: Mapping[tuple[str, str], int]) -> tuple[str, str]:
    """Returns the last merge that completes `token`, for pairs with ranks (the lowest first)."""
    get, never = ranks.get, len(ranks)
    parts = list(token)
    while len(parts) > 2:
        joins = [get(pair, never) for pair in pairwise(parts)]
        best = min(joins)
        if best == never:
            return "", ""
        at = joins.index(best)
        parts[at] += parts.pop(at + 1)
    return parts[0], parts[1]
