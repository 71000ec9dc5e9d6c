"""Query tokens of attention, and the rows that they make with the heads of a GQA group."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One query token: its row in q and y, and the positions first..past-1 that it sees."""

    row: str
    first: str
    past: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionRow:
    """One token and head: its number in the tile, the head's, and where it begins in the queries and in a row of y."""

    number: int
    token: Token
    head: str
    query: tuple[str, str]
    y: str
