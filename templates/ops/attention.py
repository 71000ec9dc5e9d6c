"""Operators on the paged cache: rotate and store, attend."""

import torch
from torch import Tensor

from sharkpack.templates.ops.namespace import NAMESPACE
from sharkpack.templates.ops.paged_cache import PagedCache
from sharkpack.templates.ops.rows import quantize_int16, quantized_like


def _rotate(x: Tensor, angles: Tensor) -> Tensor:
    half = angles.shape[1] // 2
    cos, sin = angles[:, None, :half], angles[:, None, half:]
    a, b, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    return torch.cat([a * cos - b * sin, b * cos + a * sin, rest], -1)


@torch.library.custom_op(f"{NAMESPACE}::rope_and_store", mutates_args=())
def rope_and_store(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    angles: Tensor,
    page_ids: Tensor,
    start_positions: Tensor,
    seq_lens: Tensor,
    cache: Tensor,
    layer: int,
    heads: int,
    page_size: int,
    layers: int,
    kv_heads: int,
    key_head_dim: int,
    value_head_dim: int,
) -> tuple[Tensor, Tensor]:
    """Rotate q and k by `angles` [rows, rope_dim] (cosines, then sines), write k and v to the cache.

    Returns (cache, q). Rows at or past their sequence's seq_lens are padding and are written to page 0.
    """
    paged = PagedCache(cache.clone(), page_size, layers, kv_heads, key_head_dim, value_head_dim)
    rows = q.shape[0]
    q, k = _rotate(q.reshape(rows, heads, -1), angles), _rotate(k.reshape(rows, kv_heads, -1), angles)
    paged.write(layer, k, v.reshape(rows, kv_heads, -1), page_ids, start_positions, seq_lens)
    return paged.flat, q.reshape(rows, -1)


@rope_and_store.register_fake
def _(  # type: ignore[no-untyped-def]
    q,
    k,
    v,
    angles,
    page_ids,
    start_positions,
    seq_lens,
    cache,
    layer,
    heads,
    page_size,
    layers,
    kv_heads,
    key_head_dim,
    value_head_dim,
):
    return torch.empty_like(cache), torch.empty_like(q)


@torch.library.custom_op(f"{NAMESPACE}::attention", mutates_args=())
def attention(
    q: Tensor,
    page_ids: Tensor,
    start_positions: Tensor,
    seq_lens: Tensor,
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
    softcap: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Causal attention of q [rows, heads*key_head_dim] over the pages; `window` 0 sees everything before.

    `softcap` other than 0 makes scores softcap * tanh(score / softcap).
    Returns (cache, y); the cache is unchanged.
    """
    paged = PagedCache(cache, page_size, layers, kv_heads, key_head_dim, value_head_dim)
    sequences = page_ids.shape[0]
    each = q.shape[0] // sequences
    found = torch.zeros(q.shape[0], heads, value_head_dim)
    for n in range(sequences):
        rows = slice(n * each, (n + 1) * each)
        keys, values = paged.read(layer, page_ids[n], int(seq_lens[n]))
        keys, values = (t.repeat_interleave(heads // kv_heads, 1) for t in (keys, values))
        positions = torch.clamp(start_positions[n] + torch.arange(each), max=seq_lens[n] - 1)
        scores = torch.einsum("shd,thd->hst", q[rows].reshape(each, heads, -1), keys) * scale
        if softcap:
            scores = softcap * torch.tanh(scores / softcap)
        weights = torch.softmax(scores.masked_fill(_hidden(positions, keys.shape[0], window), -torch.inf), -1)
        found[rows] = torch.einsum("hst,thd->shd", weights, values)
    return cache.clone(), found.reshape(q.shape[0], -1)


def _hidden(positions: Tensor, length: int, window: int) -> Tensor:
    """[rows, length]: what a row at each of the positions does not see."""
    at = torch.arange(length)
    hidden = at[None, :] > positions[:, None]
    return hidden | (at[None, :] <= positions[:, None] - window) if window else hidden


@attention.register_fake
def _(  # type: ignore[no-untyped-def]
    q,
    page_ids,
    start_positions,
    seq_lens,
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
    softcap=0.0,
):
    return torch.empty_like(cache), q.new_empty((q.shape[0], heads * value_head_dim))


@torch.library.custom_op(f"{NAMESPACE}::attention_int8", mutates_args=())
def attention_int8(
    q: Tensor,
    page_ids: Tensor,
    start_positions: Tensor,
    seq_lens: Tensor,
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
    softcap: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """quantize(attention(...)): (cache, codes, scales)."""
    sizes = (page_size, layers, kv_heads, key_head_dim, value_head_dim)
    where = (page_ids, start_positions, seq_lens)
    cache, y = attention(q, *where, cache, layer, heads, scale, window, *sizes, softcap)
    return cache, *quantize_int16(y)[:2]


@attention_int8.register_fake
def _(  # type: ignore[no-untyped-def]
    q,
    page_ids,
    start_positions,
    seq_lens,
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
    softcap=0.0,
):
    return torch.empty_like(cache), *quantized_like(q.new_empty((q.shape[0], heads * value_head_dim)))
