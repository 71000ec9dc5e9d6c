"""A tokenizer as a checkpoint's folder has it: named here, read when the plan is made."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerFiles:
    """config: what config.json says (bos_token_id, eos_token_id); rows: of the embedding, padding included."""

    folder: Path
    config: Mapping[str, Any] = field(repr=False)
    rows: int
