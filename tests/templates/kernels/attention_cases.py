"""Shapes of attention, a cache filled for them, and their results by a dense softmax in float64."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from sharkpack.formats.cache_geometry import CacheDtype
from sharkpack.templates.kernels.attention import attention
from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.kernels.kernel import Kernel
from sharkpack.templates.ops.paged_cache import CACHE_DTYPES, PagedCache


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    dtype: CacheDtype
    page_size: int
    kv_heads: int
    group: int
    key: int
    value: int
    window: int
    scale: float = 0.17
    softcap: float = 0.0

    @property
    def heads(self) -> int:
        return self.kv_heads * self.group

    @property
    def layout(self) -> CacheLayout:
        return CacheLayout(
            dtype=self.dtype,
            page_size=self.page_size,
            layers=2,
            kv_heads=self.kv_heads,
            key_head_dim=self.key,
            value_head_dim=self.value,
        )

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        return self.page_size, 2, self.kv_heads, self.key, self.value

    @property
    def kernel(self) -> Kernel:
        return attention(self.layout, self.heads, self.scale, window=self.window or None, cap=self.softcap)


def fill(
    case: Case, starts: list[int], lens: list[int], width: int, random: torch.Generator
) -> tuple[tuple[torch.Tensor, ...], torch.Tensor, list[NDArray[np.float64]], list[NDArray[np.float64]]]:
    """A cache of NaN but for layer 1 of each sequence's positions, and those keys and values [length, heads, dim] as
    the cache gives them back. All bits set are NaN in any float, a scale among the bytes of an i8 cache too."""
    sequences = len(starts)
    page_ids = 1 + torch.randperm(sequences * width, generator=random).reshape(sequences, width)
    nothing = -1 if case.dtype == "i8" else torch.nan
    flat = torch.full((1 + sequences * width, case.layout.page_elements), nothing, dtype=CACHE_DTYPES[case.dtype])
    paged = PagedCache(flat, *case.shape)
    keys, values = [], []
    for n, length in enumerate(lens):
        k = 2 * torch.randn(length, case.kv_heads, case.key, generator=random)
        v = torch.randn(length, case.kv_heads, case.value, generator=random)
        paged.write(1, k, v, page_ids[n : n + 1], torch.tensor([0]), torch.tensor([length]))
        stored = paged.read(1, page_ids[n], length)
        keys.append(stored[0].double().numpy())
        values.append(stored[1].double().numpy())
    return (page_ids, torch.tensor(starts), torch.tensor(lens)), flat, keys, values


def dense(
    case: Case,
    q: NDArray[np.float64],
    starts: list[int],
    lens: list[int],
    each: int,
    keys: list[NDArray[np.float64]],
    values: list[NDArray[np.float64]],
) -> NDArray[np.float64]:
    """Row by row, head by head, over the positions that the row sees."""
    y = np.zeros((len(q), case.heads * case.value))
    for row in range(len(q)):
        n, t = divmod(row, each)
        past = min(starts[n] + t + 1, lens[n])
        first = max(past - case.window, 0) if case.window else 0
        for head in range(case.heads):
            query = q[row, head * case.key : (head + 1) * case.key]
            scores = keys[n][first:past, head // case.group] @ query * case.scale
            scores = case.softcap * np.tanh(scores / case.softcap) if case.softcap else scores
            weights = np.exp(scores - scores.max())
            out = weights @ values[n][first:past, head // case.group] / weights.sum()
            y[row, head * case.value : (head + 1) * case.value] = out
    return y
