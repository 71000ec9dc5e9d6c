"""The table of checkpoints that can be read, by the `model_type` of their config."""

from sharkpack.bundler.sources.huggingface.gemma3 import GEMMA3
from sharkpack.bundler.sources.huggingface.llama import LLAMA
from sharkpack.bundler.sources.huggingface.qwen2 import QWEN2

MAPS = {kind: each for each in (LLAMA, QWEN2, GEMMA3) for kind in each.model_types}
