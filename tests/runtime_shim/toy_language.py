"""The toy's language: its words, and what comes after any of them.

Each position's cell in the cache holds its token; the next token is table[sum(token * (position + 1)) mod V], where
`table` is a parameter. So a wrong page, position, length, chunk, padding row or lost cache gives another token.
"""

from collections.abc import Sequence

import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

VOCABULARY = 300
PAGE_SIZE = 8
CONTEXT = 96
BATCH_SIZES = (1, 4)
BOS, END, TURN = 256, 257, 258
TABLE = np.random.default_rng(7).permutation(VOCABULARY).astype(np.int32)
CHAT_TEMPLATE = "{% for message in messages %}<turn>{{ message['content'] }}{% endfor %}"


def next_token(tokens: Sequence[int]) -> int:
    """The token that the toy says after `tokens`."""
    return int(TABLE[sum(token * (position + 1) for position, token in enumerate(tokens)) % VOCABULARY])


def continuation(tokens: Sequence[int], count: int, *, context: int = CONTEXT) -> list[int]:
    """The greedy answer: up to `count` tokens, ended by END (not included) or by the context."""
    said: list[int] = []
    while len(said) < count and len(tokens) + len(said) <= context:
        token = next_token([*tokens, *said])
        if token == END:
            break
        said.append(token)
    return said


def toy_tokenizer() -> Tokenizer:
    """Bytes are tokens 0 to 255; <bos>, <end> and <turn> follow; 259 to 299 have no text."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet(), key=_byte_of)
    tokenizer = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [AddedToken(text, special=True, normalized=False) for text in ("<bos>", "<end>", "<turn>")]
    )
    return tokenizer


def _byte_of(letter: str) -> int:
    """The byte that a letter of GPT-2's alphabet stands for."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    if ord(letter) in printable:
        return ord(letter)
    others = [byte for byte in range(256) if byte not in printable]
    return others[ord(letter) - 256]
