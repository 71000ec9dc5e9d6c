"""The table of architectures: a new one is one file, one line here and its name in `architectures.py`."""

from sharkpack.templates.architectures.gemma2 import GEMMA2
from sharkpack.templates.architectures.gemma3 import GEMMA3
from sharkpack.templates.architectures.granite import GRANITE
from sharkpack.templates.architectures.llama import LLAMA
from sharkpack.templates.architectures.olmo2 import OLMO2
from sharkpack.templates.architectures.phi3 import PHI3
from sharkpack.templates.architectures.qwen2 import QWEN2
from sharkpack.templates.architectures.qwen2moe import QWEN2MOE
from sharkpack.templates.architectures.qwen3 import QWEN3
from sharkpack.templates.architectures.qwen3moe import QWEN3MOE
from sharkpack.templates.architectures.stablelm import STABLELM

_ALL = (LLAMA, QWEN2, QWEN3, GEMMA2, GEMMA3, PHI3, GRANITE, OLMO2, STABLELM, QWEN2MOE, QWEN3MOE)

RECIPES = {recipe.name: recipe for recipe in _ALL}
