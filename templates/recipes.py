"""The table of architectures: a new one is one file and one line here."""

from sharkpack.templates.gemma3 import GEMMA3
from sharkpack.templates.llama import LLAMA
from sharkpack.templates.qwen2 import QWEN2

RECIPES = {recipe.name: recipe for recipe in (LLAMA, QWEN2, GEMMA3)}
