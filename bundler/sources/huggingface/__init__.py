"""Hugging Face checkpoints as source models: config.json and *.safetensors, under the names that recipes know."""

from sharkpack.bundler.sources.huggingface.checkpoint import open_checkpoint

__all__ = ["open_checkpoint"]
