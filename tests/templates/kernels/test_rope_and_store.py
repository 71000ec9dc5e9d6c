"""rope_and_store: the rotated query, and what lies where in the pages afterwards; nothing else may change."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from sharkpack.formats.cache_geometry import CacheDtype
from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.kernels.isa import Isa
from sharkpack.templates.kernels.kernel import Kernel
from sharkpack.templates.kernels.rope_and_store import rope_and_store
from sharkpack.templates.ops.attention import rope_and_store as eager_rope_and_store
from sharkpack.templates.ops.paged_cache import CACHE_DTYPES, PagedCache
from tests.templates.kernel_runner import KernelRunner, unlike_isas_here
from tests.templates.weights import error


def _layout(dtype: CacheDtype, page_size: int, kv_heads: int, key: int, value: int) -> CacheLayout:
    return CacheLayout(
        dtype=dtype,
        page_size=page_size,
        layers=2,
        kv_heads=kv_heads,
        key_head_dim=key,
        value_head_dim=value,
    )


# (layout, query heads, rotated dimensions): all of a head or part of it; keys and values of different widths.
CASES = [
    (_layout("f32", 16, 2, 32, 48), 6, 32),
    (_layout("f16", 32, 1, 64, 64), 9, 32),
    (_layout("f16", 64, 3, 128, 32), 3, 128),
    (_layout("f32", 128, 1, 64, 16), 1, 64),
]
KERNELS = [rope_and_store(*case) for case in CASES]

# Heads of whole blocks of 32 and of an odd number of 16; the last alone rotates a part.
I8_CASES = [
    (_layout("i8", 16, 2, 32, 48), 6, 32),
    (_layout("i8", 32, 3, 48, 64), 3, 32),
    (_layout("i8", 128, 1, 128, 16), 2, 64),
]
I8_KERNELS = [rope_and_store(*case) for case in I8_CASES]

# start_positions, seq_lens, tokens each, table width. Padding: rows past seq_lens, some past the table.
STEPS = {
    "decode": ([0], [1], 1, 1),
    "decode late": ([37], [38], 1, 3),
    "prefill": ([0], [40], 40, 3),
    "chunk across pages": ([13], [45], 32, 3),
    "two with padding": ([3, 15], [36, 16], 34, 3),
    "padding past the table": ([60, 0], [61, 1], 9, 4),
    "four decode, one of them padding": ([5, 0, 31, 16], [6, 1, 32, 17], 1, 2),
}


@cache
def _runner(isa: Isa) -> KernelRunner:
    return KernelRunner(KERNELS + I8_KERNELS, isa)


@pytest.mark.parametrize("isa", unlike_isas_here(), ids=lambda isa: isa.name)
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("case", range(len(CASES)), ids=lambda i: KERNELS[i].name)
def test_keys_and_values_land_in_their_page(case: int, step: str, isa: Isa) -> None:
    (layout, heads, _), kernel = CASES[case], KERNELS[case]
    lens, inputs = STEPS[step][1], _inputs(step, *CASES[case])
    pages = 1 + inputs[4].numel()
    random = torch.Generator().manual_seed(case)
    cache_before = torch.randn(pages, layout.page_elements, generator=random).to(CACHE_DTYPES[layout.dtype])
    for layer in range(layout.layers):
        operands: list[Any] = [*inputs, cache_before, layer, heads, *_shape(layout)]
        wanted, wanted_q = eager_rope_and_store(*operands)
        found, found_q = _run(_runner(isa), kernel, layer, *inputs, cache_before)
        assert error(found_q, wanted_q) < 1e-6
        # Page 0 takes what padding leaves, in no order. A rounding to float16 may fall on the other side of a tie.
        assert error(found[1:], wanted[1:]) < (1e-3 if layout.dtype == "f16" else 1e-6)
        untouched = (wanted == cache_before).numpy()[1:]
        assert np.array_equal(found[1:][untouched], cache_before.numpy()[1:][untouched])
        assert 0 < (~untouched).sum() <= sum(lens) * layout.layer_elements // layout.page_size


@pytest.mark.parametrize("isa", unlike_isas_here(), ids=lambda isa: isa.name)
@pytest.mark.parametrize("step", ["decode late", "two with padding", "padding past the table"])
@pytest.mark.parametrize("case", range(len(I8_CASES)), ids=lambda i: I8_KERNELS[i].name)
def test_codes_and_scales_land_in_their_page(case: int, step: str, isa: Isa) -> None:
    (layout, heads, _), kernel = I8_CASES[case], I8_KERNELS[case]
    inputs = _inputs(step, *I8_CASES[case])
    inputs[1][0] = inputs[2][0] = 0.0  # a token without any key or value: codes and scales of zero
    shape = (1 + inputs[4].numel(), layout.page_elements)
    before = torch.randint(-128, 128, shape, generator=torch.Generator().manual_seed(case), dtype=torch.int8)
    wanted, blank, full = (
        _eager_cache(inputs, each, heads, layout)[1:]
        for each in (before, torch.zeros_like(before), torch.full_like(before, -1))
    )
    found = torch.from_numpy(_run(_runner(isa), kernel, 1, *inputs, before)[0])[1:]
    written = blank == full
    assert 0 < written.sum() <= sum(STEPS[step][1]) * layout.layer_elements // layout.page_size
    assert torch.equal(found[~written], before[1:][~written])
    ours, eager = (PagedCache(flat, *_shape(layout)) for flat in (found, wanted))
    for page in range(len(found)):
        for part in ("keys", "values"):
            off = getattr(ours, part)(page, 1).int() - getattr(eager, part)(page, 1).int()
            assert off.abs().max() <= 1  # a rounding may fall on the other side of a tie
            assert (off != 0).sum() <= 2
        for part in ("key_scales", "value_scales"):
            pair = getattr(ours, part)(page, 1), getattr(eager, part)(page, 1)
            assert torch.allclose(*pair, rtol=1e-6, atol=1e-30, equal_nan=True)


def _inputs(step: str, layout: CacheLayout, heads: int, rope_dim: int) -> tuple[torch.Tensor, ...]:
    """q, k, v, angles, page_ids, start_positions, seq_lens."""
    starts, lens, each, width = STEPS[step]
    sequences, random = len(starts), torch.Generator().manual_seed(heads)
    rows, kv_heads = sequences * each, layout.kv_heads
    widths = (heads * layout.key_head_dim, kv_heads * layout.key_head_dim, kv_heads * layout.value_head_dim, rope_dim)
    page_ids = 1 + torch.randperm(sequences * width, generator=random).reshape(sequences, width)
    tokens = [torch.randn(rows, each, generator=random) for each in widths]
    return *tokens, page_ids, torch.tensor(starts), torch.tensor(lens)


def _eager_cache(
    inputs: tuple[torch.Tensor, ...], cache: torch.Tensor, heads: int, layout: CacheLayout
) -> torch.Tensor:
    operands: list[Any] = [*inputs, cache, 1, heads, *_shape(layout)]
    return eager_rope_and_store(*operands)[0]


def _shape(layout: CacheLayout) -> tuple[int, int, int, int, int]:
    return layout.page_size, layout.layers, layout.kv_heads, layout.key_head_dim, layout.value_head_dim


def _run(run: KernelRunner, kernel: Kernel, layer: int, *tensors: torch.Tensor) -> list[np.ndarray]:
    """The cache is given as a copy: the kernel writes in place."""
    return run(kernel, layer, *tensors[:-1], tensors[-1].clone())


def test_a_page_holds_every_layer_head_and_position_once() -> None:
    """The eager view, at the kernel's layout: keys [head_dim][page], values [page][head_dim], no gap, no overlap."""
    layout = _layout("f32", 16, 2, 32, 48)
    assert layout.layer_elements == 2 * 16 * (32 + 48)
    assert layout.page_elements == 2 * layout.layer_elements
    numbered = torch.arange(layout.page_elements, dtype=torch.float32)[None]
    paged = PagedCache(numbered, 16, 2, 2, 32, 48)
    parts = [part for layer in range(2) for part in (paged.keys(0, layer), paged.values(0, layer))]
    assert [tuple(part.shape) for part in parts] == [(2, 32, 16), (2, 16, 48)] * 2
    assert torch.equal(torch.cat([part.reshape(-1) for part in parts]), numbered[0])
