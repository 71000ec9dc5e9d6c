"""Values that are computed from several config keys at once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """Hyperparameters, and small float32 tensors by GGUF's names."""

    values: Mapping[str, Any]
    tensors: Mapping[str, Floats] = field(default_factory=dict)
