"""The pre-tokenizer of each byte-level vocabulary, which cuts text into words before merging, by its
`tokenizer.ggml.pre` name.

The patterns are those that llama.cpp applies (src/llama-vocab.cpp), in its order: each cuts the pieces that the ones
before it left, into what matches and what lies between. Where llama.cpp departs from a model's original pattern, so
does this table.
"""

from dataclasses import dataclass

from sharkpack.bundler.tokenizer.word_patterns import (
    AFMOE,
    BLOOM,
    CHAMELEON,
    DEEPSEEK_CODER,
    DEEPSEEK_LLM,
    DEEPSEEK_V3,
    DEFAULT,
    DIGITS_APART,
    EXAONE_MOE,
    FALCON,
    GPT2,
    GPT4O,
    GRANITE_EMBEDDING,
    JAIS2,
    KIMI_K2,
    LAGUNA,
    LING,
    LLAMA3,
    MINICPM5,
    QWEN2,
    QWEN35,
    SEED_CODER,
    SPARK,
    SUPERBPE,
    TEKKEN,
    TINY_AYA,
    UFAKZEKA,
    VIKING,
    YOUTU,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreTokenizer:
    """`patterns` in the order of their use. `whole_words`: a word that is a token is taken whole, unmerged.
    `add_bos`: what holds when the file does not say."""

    patterns: tuple[str, ...]
    whole_words: bool = False
    add_bos: bool = False


_GPT2 = PreTokenizer(patterns=GPT2)
_LLAMA3 = PreTokenizer(patterns=LLAMA3, whole_words=True, add_bos=True)
_QWEN2 = PreTokenizer(patterns=QWEN2)
_DIGITS_APART = PreTokenizer(patterns=DIGITS_APART)
_DEEPSEEK_V3 = PreTokenizer(patterns=DEEPSEEK_V3)
_GPT4O = PreTokenizer(patterns=GPT4O)
_TINY_AYA = PreTokenizer(patterns=TINY_AYA)
_BLOOM = PreTokenizer(patterns=BLOOM)
_LING = PreTokenizer(patterns=LING)

PRE_TOKENIZERS: dict[str, PreTokenizer] = {
    "a.x-4.0": _GPT2,
    "afmoe": PreTokenizer(patterns=AFMOE),
    "bailingmoe": _LING,
    "bailingmoe2": _LING,
    "bloom": _BLOOM,
    "chameleon": PreTokenizer(patterns=CHAMELEON, add_bos=True),
    "chatglm-bpe": PreTokenizer(patterns=LLAMA3),
    "codeshell": _DIGITS_APART,
    "cohere2moe": _TINY_AYA,
    "command-r": _DIGITS_APART,
    "dbrx": PreTokenizer(patterns=LLAMA3),
    "deepseek-coder": PreTokenizer(patterns=DEEPSEEK_CODER),
    "deepseek-llm": PreTokenizer(patterns=DEEPSEEK_LLM),
    "deepseek-r1-qwen": _QWEN2,
    "deepseek-v3": _DEEPSEEK_V3,
    "default": PreTokenizer(patterns=DEFAULT),
    "exaone": _DIGITS_APART,
    "exaone-moe": PreTokenizer(patterns=EXAONE_MOE),
    "exaone4": _GPT2,
    "f2llmv2": _QWEN2,
    "falcon": PreTokenizer(patterns=FALCON),
    "falcon-h1": _LLAMA3,
    "falcon3": _LLAMA3,
    "gigachat": _GPT2,
    "glm4": PreTokenizer(patterns=LLAMA3, whole_words=True),
    "glm5": PreTokenizer(patterns=LLAMA3, whole_words=True),
    "gpt-2": _GPT2,
    "gpt-4o": _GPT4O,
    "gpt3-finnish": _BLOOM,
    "granite-docling": _GPT2,
    "granite-embed-multi-97m": PreTokenizer(patterns=GRANITE_EMBEDDING, whole_words=True),
    "grok-2": _QWEN2,
    "hunyuan": _QWEN2,
    "hunyuan-dense": _DEEPSEEK_V3,
    "hy_v4": _DEEPSEEK_V3,
    "jais": _GPT2,
    "jais-2": PreTokenizer(patterns=JAIS2),
    "jina-de": _GPT2,
    "jina-es": _GPT2,
    "jina-v1-en": _GPT2,
    "jina-v2-code": _GPT2,
    "jina-v2-de": _GPT2,
    "jina-v2-es": _GPT2,
    "jina-v5-nano": _LLAMA3,
    "joyai-llm": _DEEPSEEK_V3,
    "kanana2": _GPT4O,
    "kimi-k2": PreTokenizer(patterns=KIMI_K2),
    "kormo": _QWEN2,
    "laguna": PreTokenizer(patterns=LAGUNA),
    "lfm2": _LLAMA3,
    "llada-moe": _LING,
    "llama-bpe": _LLAMA3,
    "llama-v3": _LLAMA3,
    "llama3": _LLAMA3,
    "llama4": _GPT4O,
    "megrez": _QWEN2,
    "mellum": _GPT2,
    "mellum2": _DIGITS_APART,
    "midm-2.0": _LLAMA3,
    "minerva-7b": _DIGITS_APART,
    "minicpm5": PreTokenizer(patterns=MINICPM5, whole_words=True),
    "minimax-m2": _GPT4O,
    "modern-bert": _GPT2,
    "mpt": _GPT2,
    "olmo": _GPT2,
    "phi-2": _GPT2,
    "pixtral": _LLAMA3,
    "poro-chat": _BLOOM,
    "qwen2": _QWEN2,
    "qwen35": PreTokenizer(patterns=QWEN35),
    "refact": _DIGITS_APART,
    "roberta-bpe": _GPT2,
    "seed-coder": PreTokenizer(patterns=SEED_CODER),
    "smaug-bpe": PreTokenizer(patterns=LLAMA3),
    "smollm": _DIGITS_APART,
    "solar-open": _QWEN2,
    "spark2_5": PreTokenizer(patterns=SPARK),
    "stablelm2": _QWEN2,
    "starcoder": _DIGITS_APART,
    "superbpe": PreTokenizer(patterns=SUPERBPE),
    "talkie": _GPT4O,
    "tekken": PreTokenizer(patterns=TEKKEN, whole_words=True, add_bos=True),
    "tiny_aya": _TINY_AYA,
    "trillion": _GPT2,
    "ufakzeka": PreTokenizer(patterns=UFAKZEKA),
    "viking": PreTokenizer(patterns=VIKING),
    "youtu": PreTokenizer(patterns=YOUTU, whole_words=True),
}
