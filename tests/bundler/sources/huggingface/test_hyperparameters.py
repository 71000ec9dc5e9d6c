"""Config keys: those that say nothing of the maths are no hindrance, those that may change it are refused by name."""

from pathlib import Path
from typing import Any

import pytest

from sharkpack.bundler.sources.huggingface.hyperparameters import settle
from sharkpack.bundler.sources.huggingface.maps import MAPS
from sharkpack.bundler.sources.metadata import Metadata
from sharkpack.formats.errors import SharkpackError

NOTHING: dict[str, Any] = {
    "max_sequence_length": 2048,
    "_commit_hash": "0" * 40,
    "pad_token_id": -1,
    "quantization_config": None,
    "gradient_checkpointing": True,
    "is_causal": True,
    "num_experts": 0,
    "router_z_loss_coef": 0.001,
}


@pytest.mark.parametrize("kind", sorted(MAPS))
def test_keys_that_say_nothing(kind: str) -> None:
    config = Metadata(path=Path("config.json"), values={"model_type": kind, **NOTHING})
    if "num_experts" in MAPS[kind].known_keys():
        config = Metadata(path=config.path, values={k: v for k, v in config.values.items() if k != "num_experts"})
    settle(config, MAPS[kind])


@pytest.mark.parametrize(
    ("key", "value"), [("is_causal", False), ("num_experts", 8), ("logits_scaling", True), ("alibi", True), ("mup", 1)]
)
def test_keys_that_may_change_the_maths(key: str, value: object) -> None:
    config = Metadata(path=Path("config.json"), values={"model_type": "llama", key: value})
    with pytest.raises(SharkpackError, match=f"'{key}' = {value!r} is not known here for 'llama'"):
        settle(config, MAPS["llama"])
