"""Attention over the paged cache: norms of heads, rope, store, and what each row sees."""

import torch
from torch import Tensor

from sharkpack.templates.lowering.operators import ATTEND
from sharkpack.templates.ops.define import operator
from sharkpack.templates.ops.paged_cache import PagedCache
from sharkpack.templates.ops.rows import rms_norm


@operator(ATTEND)
def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    angles: Tensor,
    q_norm: Tensor | None,
    k_norm: Tensor | None,
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
    softcap: float,
    epsilon: float,
    step: bool,
) -> tuple[Tensor, Tensor]:
    """`attention` of what `rope_and_store` makes of q, k and v; with weights q_norm and k_norm [key_head_dim], of their
    heads' `rms_norm`. Returns (cache, y [rows, heads * value_head_dim]).

    step: each row is a sequence of its own, of one token.
    """
    q, k = (x if w is None else rms_norm(x, w, None, epsilon) for x, w in ((q, q_norm), (k, k_norm)))
    sizes, where = (page_size, layers, kv_heads, key_head_dim, value_head_dim), (page_ids, start_positions, seq_lens)
    cache, q = rope_and_store(q, k, v, angles, *where, cache, layer, heads, *sizes)
    return cache, attention(q, *where, cache, layer, heads, scale, window, *sizes, softcap)


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
    """Rotate q and k by `angles` [rows, rope_dim] (cosines, then sines), write k and v to a copy of the cache.

    Returns (cache, q). Rows at or past their sequence's seq_lens are padding and are written to page 0.
    """
    paged = PagedCache(cache.clone(), page_size, layers, kv_heads, key_head_dim, value_head_dim)
    rows = q.shape[0]
    q, k = _rotate(q.reshape(rows, heads, -1), angles), _rotate(k.reshape(rows, kv_heads, -1), angles)
    paged.write(layer, k, v.reshape(rows, kv_heads, -1), page_ids, start_positions, seq_lens)
    return paged.flat, q.reshape(rows, -1)


def _rotate(x: Tensor, angles: Tensor) -> Tensor:
    half = angles.shape[1] // 2
    cos, sin = angles[:, None, :half], angles[:, None, half:]
    a, b, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    return torch.cat([a * cos - b * sin, b * cos + a * sin, rest], -1)


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
) -> Tensor:
    """Causal attention of q [rows, heads*key_head_dim] over the pages, [rows, heads*value_head_dim].

    window: positions seen; 0 for all before. softcap: other than 0 makes scores softcap * tanh(score / softcap).
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
    return found.reshape(q.shape[0], -1)


def _hidden(positions: Tensor, length: int, window: int) -> Tensor:
    """[rows, length]: what a row at each of the positions does not see."""
    at = torch.arange(length)
    hidden = at[None, :] > positions[:, None]
    return hidden | (at[None, :] <= positions[:, None] - window) if window else hidden
