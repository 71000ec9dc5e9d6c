"""Text from tokens: whole characters only, and the same as decoding everything at once."""

import random

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models

from sharkpack.formats.errors import SharkpackError
from sharkpack.runtime_shim.text.detokenizer import Detokenizer, Vocabulary
from tests.runtime_shim.toy_language import toy_tokenizer

TEXT = "héllo wörld — 日本語 🦈👩‍👩‍👧 e\u0301\u200d नमस्ते \U0010ffff"


def _spm_tokenizer(*, strip: bool = False) -> Tokenizer:
    pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "▁the", "▁▁", "cat", "日", "s"]
    tokenizer = Tokenizer(models.BPE(vocab={p: i for i, p in enumerate(pieces)}, merges=[], byte_fallback=True))
    tokenizer.add_tokens([AddedToken("▁▁▁", special=False, normalized=False)])
    tokenizer.add_special_tokens([AddedToken("<end>", special=True)])
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)] if strip else steps)
    return tokenizer


def _stream(tokenizer: Tokenizer, ids: list[int]) -> list[str]:
    detokenizer = Detokenizer(Vocabulary(tokenizer))
    return [*(detokenizer.push(token) for token in ids), detokenizer.finish()]


def test_never_half_a_character() -> None:
    pieces = _stream(toy_tokenizer(), list(TEXT.encode()))  # a byte a token
    assert "".join(pieces) == TEXT
    assert "\ufffd" not in "".join(pieces)
    assert all(len(piece) <= 1 for piece in pieces)


@pytest.mark.parametrize("seed", range(20))
def test_byte_level_equals_the_tokenizers_decode_on_random_ids(seed: int) -> None:
    tokenizer = toy_tokenizer()
    ids = random.Random(seed).choices(range(300), k=400)
    assert "".join(_stream(tokenizer, ids)) == tokenizer.decode(ids, skip_special_tokens=True)


@pytest.mark.parametrize("seed", range(20))
def test_sentencepiece_equals_the_tokenizers_decode(seed: int) -> None:
    tokenizer = _spm_tokenizer()
    draw = random.Random(seed)
    ids: list[int] = []
    for _ in range(100):  # whole characters by bytes: for broken ones, tokenizers gives up on the whole run
        character = draw.choice(TEXT)
        ids += draw.choice([[byte + 1 for byte in character.encode()], [draw.randrange(257, 265)]])
    assert "".join(_stream(tokenizer, ids)) == tokenizer.decode(ids, skip_special_tokens=True)


def test_a_leading_space_stays_because_the_text_goes_on_from_a_prompt() -> None:
    the = 258
    assert _stream(_spm_tokenizer(strip=True), [the, the]) == [" the", " the", ""]


def test_special_tokens_have_no_text() -> None:
    tokenizer = _spm_tokenizer()
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    assert "".join(_stream(tokenizer, [vocabulary["cat"], vocabulary["<end>"]])) == "cat"


def test_a_character_that_never_ends_is_replaced_at_the_end() -> None:
    assert _stream(toy_tokenizer(), [ord("a"), 0xE6, 0x97]) == ["a", "", "", "\ufffd"]


def test_broken_bytes_in_the_middle_do_not_hold_up_the_rest() -> None:
    assert "".join(_stream(toy_tokenizer(), [0xE6, ord("a"), 0xFF, ord("b")])) == "\ufffda\ufffdb"


def test_a_special_token_does_not_tear_a_character() -> None:
    assert "".join(_stream(toy_tokenizer(), [0xE6, 257, 0x97, 0xA5])) == "日"


def test_refuses_a_decoder_that_it_does_not_know() -> None:
    tokenizer = _spm_tokenizer()
    tokenizer.decoder = decoders.WordPiece()
    with pytest.raises(SharkpackError, match="a decoder that this version does not know: WordPiece"):
        Vocabulary(tokenizer)
