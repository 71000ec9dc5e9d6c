"""Vocabularies of some three hundred tokens: byte-level BPE, and SentencePiece with scores and byte tokens."""

from typing import Any

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

MERGES = (
    *("Ġ t", "h e", "i n", "r e", "Ġ a", "o n", "e r", "Ġt he", "Ġ s", "a t", "o r", "e n", "Ġ w", "i s", "Ġ o"),
    *("l l", "o u", "i t", "a n", "Ġ c", "in g", "e d", "Ġ h", "Ġ b", "e s", "l o", "Ġo f", "Ġa n", "Ġan d", "Ġt o"),
    *("H e", "He ll", "Hell o", "Ġw or", "Ġwor l", "Ġworl d", "1 2", "12 3", "Ċ Ċ", "Ġ Ġ", "ĠĠ ĠĠ", "' s", "Ã ©"),
)
PIECES = (
    *("▁t", "he", "in", "re", "▁a", "on", "er", "▁the", "▁s", "at", "or", "en", "▁w", "is", "▁o", "ll", "ou", "it"),
    *("an", "▁c", "ing", "ed", "▁h", "▁b", "es", "lo", "▁of", "▁an", "▁and", "▁to", "He", "Hell", "Hello"),
    *("▁wor", "▁worl", "▁world", "▁▁", "▁▁▁▁"),
)
CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TURNS = (
    "{{ bos_token }}{% for message in messages %}{{ '<start_of_turn>' + message['role'] + '\n' + message['content'] + "
    "'<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)


def byte_characters() -> list[str]:
    """The character that stands for each byte in a byte-level vocabulary, by byte."""
    printing = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = iter(range(256, 512))
    return [chr(byte) if byte in printing else chr(next(others)) for byte in range(256)]


def bpe_vocabulary(architecture: str) -> dict[str, Any]:
    """The tokenizer keys of a byte-level BPE vocabulary; special tokens lead it (llama) or end it (qwen2)."""
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    pieces = [*byte_characters(), *(merge.replace(" ", "") for merge in MERGES)]
    tokens = [*pieces, *special] if architecture == "qwen2" else [*special, *pieces]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2" if architecture == "qwen2" else "smollm",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [CONTROL if token in special else NORMAL for token in tokens],
        "tokenizer.ggml.merges": list(MERGES),
        "tokenizer.ggml.bos_token_id": tokens.index("<|endoftext|>"),
        "tokenizer.ggml.eos_token_id": tokens.index("<|im_end|>"),
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": CHATML,
    }


def spm_vocabulary() -> dict[str, Any]:
    """The tokenizer keys of a SentencePiece vocabulary laid out as gemma's: specials, bytes, pieces, characters."""
    special = {"<pad>": CONTROL, "<eos>": CONTROL, "<bos>": CONTROL, "<unk>": UNKNOWN, "<mask>": USER_DEFINED}
    special |= {"<start_of_turn>": CONTROL, "<end_of_turn>": CONTROL, "\n\n": USER_DEFINED, "<unused0>": UNUSED}
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    characters = ["▁", *(chr(code) for code in range(ord("!"), ord("~") + 1)), "\n", "é", "ü", "日", "本"]
    tokens = [*special, *byte_tokens, *PIECES, *characters]
    first = tokens.index(PIECES[0])
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": [-1000.0 if index < first else float(first - index) for index in range(len(tokens))],
        "tokenizer.ggml.token_type": [special.get(token, BYTE if token in byte_tokens else NORMAL) for token in tokens],
        "tokenizer.ggml.bos_token_id": tokens.index("<bos>"),
        "tokenizer.ggml.eos_token_id": tokens.index("<eos>"),
        "tokenizer.ggml.unknown_token_id": tokens.index("<unk>"),
        "tokenizer.ggml.padding_token_id": tokens.index("<pad>"),
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": False,
        "tokenizer.ggml.add_space_prefix": False,
        "tokenizer.chat_template": TURNS,
    }
