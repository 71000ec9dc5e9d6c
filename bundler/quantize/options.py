"""Options of a quantisation. Data only."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizeOptions:
    """scheme: a name such as "q4_k_m". pure: one type for all matrices. imatrix: an importance matrix file. measure:
    whether to measure an importance where no file has one. requantize: whether weights that are quantised already may
    be quantised again."""

    scheme: str
    pure: bool = False
    imatrix: Path | None = None
    measure: bool = False
    requantize: bool = False
