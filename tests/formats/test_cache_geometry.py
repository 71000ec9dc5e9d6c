"""The cache's geometry: sizes by hand, and the same in a manifest's pool, a kernel's layout and the eager reference."""

from dataclasses import asdict
from itertools import product

import pytest
import torch

from sharkpack.formats.archive.memory import attention_pool
from sharkpack.formats.cache_geometry import CACHE_ITEM_BYTES, CacheDtype, CacheGeometry
from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.ops.paged_cache import CACHE_DTYPES, PagedCache

DTYPES: tuple[CacheDtype, ...] = ("f16", "f32", "i8")


def _geometry(dtype: CacheDtype, key: int = 48, value: int = 32) -> CacheGeometry:
    return CacheGeometry(dtype=dtype, page_size=16, layers=3, kv_heads=2, key_head_dim=key, value_head_dim=value)


def test_sizes() -> None:
    assert _geometry("f16").page_elements == 3 * 2 * 16 * (48 + 32)
    # Three scales of four bytes a key, in blocks of 16, and one a value.
    assert _geometry("i8").page_elements == 3 * 2 * 16 * (48 + 3 * 4 + 32 + 4)
    assert [_geometry("i8", key).key_block for key in (16, 32, 48, 64, 96)] == [16, 32, 16, 32, 32]


@pytest.mark.parametrize(("dtype", "key"), list(product(DTYPES, (48, 64))))
def test_all_that_derive_from_it_agree(dtype: CacheDtype, key: int) -> None:
    geometry = _geometry(dtype, key)
    pool, layout = attention_pool("kv", geometry), CacheLayout(**asdict(geometry))
    pool.check()
    assert pool.page_elements == layout.page_elements == geometry.page_elements
    assert pool.page_bytes == geometry.page_elements * CACHE_ITEM_BYTES[dtype]
    flat = torch.zeros(1, geometry.page_elements, dtype=CACHE_DTYPES[dtype])
    paged = PagedCache(flat, 16, 3, 2, key, 32)
    for layer in range(3):
        paged.keys(0, layer).fill_(1)
        paged.values(0, layer).fill_(1)
        if geometry.has_scales:
            paged.key_scales(0, layer).view(torch.int8).fill_(1)
            paged.value_scales(0, layer).view(torch.int8).fill_(1)
    assert (flat == 1).all(), "the page has an element that belongs to nothing"
