"""The table of architectures: a new one is one file, one line here and its name in `architectures.py`."""

from sharkpack.templates.gemma2 import GEMMA2
from sharkpack.templates.gemma3 import GEMMA3
from sharkpack.templates.granite import GRANITE
from sharkpack.templates.llama import LLAMA
from sharkpack.templates.olmo2 import OLMO2
from sharkpack.templates.phi3 import PHI3
from sharkpack.templates.qwen2 import QWEN2
from sharkpack.templates.qwen2moe import QWEN2MOE
from sharkpack.templates.qwen3 import QWEN3
from sharkpack.templates.qwen3moe import QWEN3MOE
from sharkpack.templates.stablelm import STABLELM

_ALL = (LLAMA, QWEN2, QWEN3, GEMMA2, GEMMA3, PHI3, GRANITE, OLMO2, STABLELM, QWEN2MOE, QWEN3MOE)

RECIPES = {recipe.name: recipe for recipe in _ALL}
