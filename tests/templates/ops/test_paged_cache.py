"""The paged cache in eager torch: what is written is what is read, whatever the order of the pages."""

import pytest
import torch

from sharkpack.templates.ops.paged_cache import PagedCache

PAGE, HEADS, KEY, VALUE = 16, 2, 8, 4


def _paged(pages: int, layers: int = 2, dtype: torch.dtype = torch.float32) -> PagedCache:
    flat = torch.full((pages, layers * HEADS * PAGE * (KEY + VALUE)), torch.nan, dtype=dtype)
    return PagedCache(flat, PAGE, layers, HEADS, KEY, VALUE)


def _tokens(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(count, HEADS, KEY, generator=random), torch.randn(count, HEADS, VALUE, generator=random)


@pytest.mark.parametrize("chunks", [[40], [16, 16, 8], [1] * 40, [5, 30, 5]], ids=str)
def test_what_is_written_is_read(chunks: list[int]) -> None:
    paged, (k, v), page_ids = _paged(6), _tokens(40), torch.tensor([[5, 1, 3]])
    start = 0
    for count in chunks:
        part = slice(start, start + count)
        paged.write(1, k[part], v[part], page_ids, torch.tensor([start]), torch.tensor([start + count]))
        start += count
    for length in (1, 16, 17, 40):
        keys, values = paged.read(1, page_ids[0], length)
        assert torch.equal(keys, k[:length])
        assert torch.equal(values, v[:length])
    assert paged.flat[[0, 2, 4]].isnan().all()
    assert paged.keys(5, 0).isnan().all()


def test_sequences_keep_apart_and_padding_goes_to_page_zero() -> None:
    paged, (k, v) = _paged(5), _tokens(12)
    page_ids = torch.tensor([[1, 2], [3, 4]])
    paged.write(0, k, v, page_ids, torch.tensor([14, 0]), torch.tensor([20, 2]))
    assert torch.equal(torch.stack([paged.keys(1, 0)[:, :, 14], paged.keys(2, 0)[:, :, 3]]), k[[0, 5]])
    assert torch.equal(paged.read(0, page_ids[1], 2)[1], v[6:8])
    assert paged.keys(3, 0)[:, :, 2:].isnan().all()
    assert torch.equal(paged.values(0, 0)[:, 5], v[11])


def test_a_quantised_cache_is_off_by_half_a_step_at_most() -> None:
    """Each 16 or 32 dimensions of a key have a step, and all of a value together. Zeros stay zeros."""
    random = torch.Generator().manual_seed(3)
    k, v = torch.randn(20, HEADS, 96, generator=random), torch.randn(20, HEADS, 32, generator=random)
    k[:, :, 64:] *= 100
    k[4, 1, :32] = v[4] = 0.0
    each = PAGE * (96 + 4 * 3 + 32 + 4)
    paged = PagedCache(torch.full((3, 2 * HEADS * each), -1, dtype=torch.int8), PAGE, 2, HEADS, 96, 32)
    paged.write(1, k, v, torch.tensor([[2, 1]]), torch.tensor([0]), torch.tensor([20]))
    keys, values = paged.read(1, torch.tensor([2, 1]), 20)
    steps = k.view(20, HEADS, 3, 32).abs().amax(-1, keepdim=True) / 127
    assert ((keys - k).reshape(20, HEADS, 3, 32).abs() <= 0.501 * steps).all()
    assert ((values - v).abs() <= 0.501 * v.abs().amax(-1, keepdim=True) / 127).all()
    assert not keys[4, 1, :32].any()
    assert (paged.flat[:, : HEADS * each] == -1).all()
    assert (paged.flat[0] == -1).all()


def test_half_precision_is_rounded_when_written() -> None:
    paged, (k, v) = _paged(2, dtype=torch.float16), _tokens(3)
    paged.write(0, k, v, torch.tensor([[1]]), torch.tensor([0]), torch.tensor([3]))
    keys, values = paged.read(0, torch.tensor([1]), 3)
    assert keys.dtype == values.dtype == torch.float32
    assert torch.equal(keys, k.half().float())
    assert torch.equal(values, v.half().float())
