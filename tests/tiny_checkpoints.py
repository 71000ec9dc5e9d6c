"""Small checkpoints as transformers saves them: random weights of every architecture that a folder can hold."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers

SIZES: Mapping[str, Any] = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "vocab_size": 320,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
}


def write_checkpoint(
    folder: Path, model_type: str = "llama", dtype: str = "float32", max_shard_size: str = "1GB", **config: Any
) -> Path:
    """Write a model of `model_type` with `config` over SIZES into `folder`: the same weights each time."""
    settled = transformers.AutoConfig.for_model(model_type, **{**SIZES, **config})
    model = transformers.AutoModelForCausalLM.from_config(settled, dtype=torch.float32)
    _randomise(model, centre=0.0 if model_type.startswith("gemma") else 1.0)
    model.to(getattr(torch, dtype)).save_pretrained(folder, max_shard_size=max_shard_size)
    return folder


def write_seeing_checkpoint(folder: Path, **config: Any) -> Path:
    """A Gemma 3 that sees images: the same language model, random, within it."""
    vision: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    vision |= {"image_size": 28, "patch_size": 14}
    whole = transformers.Gemma3Config(text_config={**SIZES, **config}, vision_config=vision, mm_tokens_per_image=4)
    model = transformers.Gemma3ForConditionalGeneration(whole)
    _randomise(model, centre=0.0)
    model.save_pretrained(folder)
    return folder


def _randomise(model: Any, centre: float) -> None:
    """Weights that keep activations near unit size; those of norms lie around `centre`."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if name.endswith("norm.weight"):
                weights.uniform_(centre - 0.2, centre + 0.2, generator=generator)
            else:
                scale = 0.1 if weights.ndim == 1 else weights.shape[-1] ** -0.5
                weights.normal_(0, scale * (3 if "embed" in name or "lm_head" in name else 1), generator=generator)


def edit_json(path: Path, **changes: Any) -> None:
    """Set keys of a JSON file; None takes one out."""
    values = json.loads(path.read_text("utf-8")) | changes
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not None}), "utf-8")


def reference_logits(folder: Path, tokens: torch.Tensor) -> torch.Tensor:
    """The logits that transformers computes from the folder in float32: tokens [N, S] -> [N, S, vocabulary]."""
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", local_files_only=True
    )
    with torch.no_grad():
        logits: torch.Tensor = model.eval()(tokens).logits
    return logits
