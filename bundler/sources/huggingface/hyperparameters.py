"""A config's keys -> a recipe's hyperparameters, by a CheckpointMap. None that may matter is dropped."""

from typing import Any

from sharkpack.bundler.sources.huggingface.checkpoint_map import NEUTRAL, CheckpointMap
from sharkpack.bundler.sources.metadata import Metadata
from sharkpack.formats.errors import SharkpackError

LARGEST = (1 << 31) - 1
MOST = {"hidden_size": 1 << 20, "head_dim": 1 << 10, "num_hidden_layers": 1 << 16}
"""Of sizes that memory is taken by before a tensor contradicts them."""


def settle(config: Metadata, how: CheckpointMap) -> Metadata:
    """The config without nulls and with the defaults; SharkpackError for a key or value that is not known."""
    given = {key: value for key, value in config.values.items() if value is not None}
    known = how.known_keys()
    for key, value in given.items():
        if key not in known:
            if _is_one_of(value, NEUTRAL.get(key, ())):
                continue
            raise SharkpackError(
                f"{config.path}: '{key}' = {_short(value)} is not known here for {config.values['model_type']!r}; "
                "it may change what the model computes"
            )
        if key in how.expects and not any(value is each or value == each for each in how.expects[key]):
            supported = ", ".join(map(_short, how.expects[key]))
            raise SharkpackError(f"{config.path}: '{key}' is {_short(value)}; supported: {supported}")
    return Metadata(path=config.path, values={**how.defaults, **given})


def hyperparameters(config: Metadata, how: CheckpointMap) -> dict[str, Any]:
    """Returns the values by GGUF's key, without the architecture's prefix. `config` is settled."""
    found: dict[str, Any] = {}
    for key, name in how.sizes.items():
        if key in config.values or key not in how.optional:
            found[name] = _positive(config, key)
    for key, name in how.numbers.items():
        if key in config.values or key not in how.optional:
            found[name] = config.floating(key)
    for key, name in how.flags.items():
        if key in config.values or key not in how.optional:
            found[name] = config.boolean(key)
    return found


def _positive(config: Metadata, key: str) -> int:
    value = config.integer(key)
    if not 0 < value <= MOST.get(key, LARGEST):
        raise SharkpackError(f"{config.path}: '{key}' is {value}; expected 1 to {MOST.get(key, LARGEST)}")
    return value


def _is_one_of(value: object, values: tuple[Any, ...]) -> bool:
    return any(isinstance(value, bool) == isinstance(each, bool) and value == each for each in values)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
