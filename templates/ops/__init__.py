"""The operations that recipes are made of, as torch operators, each with its eager float32 reference.

A recipe calls these; the bundler finds them in the traced program and puts in the kernel that kernel_table.py names.
Weights are packed int8 streams (sharkpack.formats.packing); "rows" are the tokens of all sequences, flattened.

Imports from templates: kernels.
"""

from sharkpack.templates.ops.attention import attention, attention_int8, rope_and_store
from sharkpack.templates.ops.attention_step import attention_step, attention_step_int8
from sharkpack.templates.ops.experts import expert_matmul_float32, expert_matmul_int8, route
from sharkpack.templates.ops.namespace import NAMESPACE
from sharkpack.templates.ops.products import embedding, gated_matmul_int8, matmul_float32, matmul_int8, qkv_int8
from sharkpack.templates.ops.rows import (
    gated,
    gated_int8,
    quantize,
    quantize_int16,
    rms_norm,
    rms_norm_int8,
    rms_norm_int16,
)

__all__ = [
    "NAMESPACE",
    "attention",
    "attention_int8",
    "attention_step",
    "attention_step_int8",
    "embedding",
    "expert_matmul_float32",
    "expert_matmul_int8",
    "gated",
    "gated_int8",
    "gated_matmul_int8",
    "matmul_float32",
    "matmul_int8",
    "qkv_int8",
    "quantize",
    "quantize_int16",
    "rms_norm",
    "rms_norm_int8",
    "rms_norm_int16",
    "rope_and_store",
    "route",
]
