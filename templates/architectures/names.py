"""The names of the architectures that have a recipe, for those who need to load none of them, and torch with it."""

ARCHITECTURES = (
    "llama",
    "qwen2",
    "qwen3",
    "gemma2",
    "gemma3",
    "phi3",
    "granite",
    "olmo2",
    "stablelm",
    "qwen2moe",
    "qwen3moe",
)
