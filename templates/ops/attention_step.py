"""Attention of a decode step in one operator: norms of q and k, rope, the cache, attention."""

import torch
from torch import Tensor

from sharkpack.templates.ops.attention import attention, rope_and_store
from sharkpack.templates.ops.namespace import NAMESPACE
from sharkpack.templates.ops.rows import quantized_like, rms_norm, to_int16


@torch.library.custom_op(f"{NAMESPACE}::attention_step", mutates_args=())
def attention_step(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    angles: Tensor,
    q_norm: Tensor | None,
    k_norm: Tensor | None,
    page_ids: Tensor,
    start_positions: Tensor,
    seq_lens: Tensor,
    parts: Tensor,
    cache: Tensor,
    layer: int,
    heads: int,
    scale: float,
    window: int,
    page_size: int,
    layers: int,
    kv_heads: int,
    key_head_dim: int,
    value_head_dim: int,
    softcap: float,
    epsilon: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """`attention` of what `rope_and_store` makes of q, k and v, rows that are sequences of their own; with weights
    q_norm and k_norm [key_head_dim], of their heads' `rms_norm`. Returns (parts, cache, y).

    parts: [rows, room_for_parts] float32, zeros, that a kernel may use.
    """
    q, k = (x if w is None else rms_norm(x, w, None, epsilon) for x, w in ((q, q_norm), (k, k_norm)))
    sizes, where = (page_size, layers, kv_heads, key_head_dim, value_head_dim), (page_ids, start_positions, seq_lens)
    cache, q = rope_and_store(q, k, v, angles, *where, cache, layer, heads, *sizes)
    cache, y = attention(q, *where, cache, layer, heads, scale, window, *sizes, softcap)
    return parts.clone(), cache, y


@attention_step.register_fake
def _(  # type: ignore[no-untyped-def]
    q,
    k,
    v,
    angles,
    q_norm,
    k_norm,
    page_ids,
    start_positions,
    seq_lens,
    parts,
    cache,
    layer,
    heads,
    scale,
    window,
    page_size,
    layers,
    kv_heads,
    key_head_dim,
    value_head_dim,
    softcap,
    epsilon,
):
    return torch.empty_like(parts), torch.empty_like(cache), q.new_empty((q.shape[0], heads * value_head_dim))


@torch.library.custom_op(f"{NAMESPACE}::attention_step_int8", mutates_args=())
def attention_step_int8(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    angles: Tensor,
    q_norm: Tensor | None,
    k_norm: Tensor | None,
    page_ids: Tensor,
    start_positions: Tensor,
    seq_lens: Tensor,
    parts: Tensor,
    cache: Tensor,
    layer: int,
    heads: int,
    scale: float,
    window: int,
    page_size: int,
    layers: int,
    kv_heads: int,
    key_head_dim: int,
    value_head_dim: int,
    softcap: float,
    epsilon: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """quantize(attention_step(...)): (parts, cache, codes, scales)."""
    sizes = (page_size, layers, kv_heads, key_head_dim, value_head_dim)
    given = (q, k, v, angles, q_norm, k_norm, page_ids, start_positions, seq_lens, parts, cache)
    parts, cache, y = attention_step(*given, layer, heads, scale, window, *sizes, softcap, epsilon)
    return parts, cache, *to_int16(y)[:2]


@attention_step_int8.register_fake
def _(  # type: ignore[no-untyped-def]
    q,
    k,
    v,
    angles,
    q_norm,
    k_norm,
    page_ids,
    start_positions,
    seq_lens,
    parts,
    cache,
    layer,
    heads,
    scale,
    window,
    page_size,
    layers,
    kv_heads,
    key_head_dim,
    value_head_dim,
    softcap,
    epsilon,
):
    y = q.new_empty((q.shape[0], heads * value_head_dim))
    return torch.empty_like(parts), torch.empty_like(cache), *quantized_like(y)
