"""The neutral operators as torch knows them, each with its eager float32 reference.

A recipe calls these; a target's lowering (templates/lowering) puts kernels in their place in the traced program.
Weights are packed int8 streams (sharkpack.formats.packing); "rows" are the tokens of all sequences, flattened.

Imports from templates: kernels, lowering.
"""

from sharkpack.templates.ops.attention import attend
from sharkpack.templates.ops.experts import expert_matmul, route
from sharkpack.templates.ops.matmul import embedding, matmul
from sharkpack.templates.ops.rounding import rounding_activations
from sharkpack.templates.ops.rows import gated, rms_norm

__all__ = [
    "attend",
    "embedding",
    "expert_matmul",
    "gated",
    "matmul",
    "rms_norm",
    "rounding_activations",
    "route",
]
