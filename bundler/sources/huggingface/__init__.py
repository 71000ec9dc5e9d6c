"""Hugging Face checkpoints as source models: config.json and *.safetensors, under the names that recipes know."""

from sharkpack.bundler.sources.huggingface.checkpoint import CONFIG, open_checkpoint

__all__ = ["CONFIG", "open_checkpoint"]
