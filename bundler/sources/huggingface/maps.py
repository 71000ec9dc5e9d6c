"""The table of checkpoints that can be read, by the `model_type` of their config."""

from sharkpack.bundler.sources.huggingface.gemma2 import GEMMA2
from sharkpack.bundler.sources.huggingface.gemma3 import GEMMA3, GEMMA3_OF_IMAGES
from sharkpack.bundler.sources.huggingface.granite import GRANITE
from sharkpack.bundler.sources.huggingface.llama import LLAMA
from sharkpack.bundler.sources.huggingface.mixtral import MIXTRAL
from sharkpack.bundler.sources.huggingface.olmo2 import OLMO2
from sharkpack.bundler.sources.huggingface.phi3 import PHI3
from sharkpack.bundler.sources.huggingface.qwen2 import QWEN2
from sharkpack.bundler.sources.huggingface.qwen3 import QWEN3
from sharkpack.bundler.sources.huggingface.qwen_moe import QWEN2_MOE, QWEN3_MOE
from sharkpack.bundler.sources.huggingface.stablelm import STABLELM

_ALL = (
    LLAMA,
    MIXTRAL,
    QWEN2,
    QWEN2_MOE,
    QWEN3,
    QWEN3_MOE,
    GEMMA2,
    GEMMA3,
    GEMMA3_OF_IMAGES,
    PHI3,
    GRANITE,
    OLMO2,
    STABLELM,
)

MAPS = {kind: each for each in _ALL for kind in each.model_types}
