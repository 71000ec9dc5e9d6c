"""Options of a model that the builder decides. Data only."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """Positions it can hold, page size, cache element."""

    context_length: int
    page_size: int
    cache_dtype: Literal["f16", "f32", "i8"]
