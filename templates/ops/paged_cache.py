"""The paged cache in eager torch: the reference of what the kernels' in-place reads and writes mean."""

import math

import torch
from torch import Tensor

from sharkpack.formats.cache_geometry import CacheDtype, CacheGeometry

CACHE_DTYPES = {"f16": torch.float16, "f32": torch.float32, "i8": torch.int8}
_NAMES: dict[torch.dtype, CacheDtype] = {torch.float16: "f16", torch.float32: "f32", torch.int8: "i8"}


class PagedCache:
    """Views of a flat cache [pages, page_elements] of that geometry. int8 is quantised."""

    def __init__(
        self, flat: Tensor, page_size: int, layers: int, kv_heads: int, key_head_dim: int, value_head_dim: int
    ) -> None:
        self.flat, self.page_size, self.kv_heads = flat, page_size, kv_heads
        self.quantized = flat.dtype == torch.int8
        self.key_shape = (key_head_dim, page_size)
        self.value_shape = (page_size, value_head_dim)
        geometry = CacheGeometry(
            dtype=_NAMES[flat.dtype],
            page_size=page_size,
            layers=layers,
            kv_heads=kv_heads,
            key_head_dim=key_head_dim,
            value_head_dim=value_head_dim,
        )
        self.key_block = geometry.key_block
        self.key_elements = kv_heads * geometry.key_elements
        self.layer_elements = geometry.layer_elements

    def keys(self, page: int, layer: int) -> Tensor:
        """[kv_heads, key_head_dim, page_size], a view: codes, in a quantised cache."""
        return self._key_heads(page, layer)[:, : math.prod(self.key_shape)].view(-1, *self.key_shape)

    def values(self, page: int, layer: int) -> Tensor:
        """[kv_heads, page_size, value_head_dim], a view: codes, in a quantised cache."""
        return self._value_heads(page, layer)[:, : math.prod(self.value_shape)].view(-1, *self.value_shape)

    def key_scales(self, page: int, layer: int) -> Tensor:
        """[kv_heads, key_head_dim / key_block, page_size] float32 of a quantised cache, a view."""
        scales = self._key_heads(page, layer)[:, math.prod(self.key_shape) :].view(torch.float32)
        return scales.view(self.kv_heads, -1, self.page_size)

    def value_scales(self, page: int, layer: int) -> Tensor:
        """[kv_heads, page_size] float32 of a quantised cache, a view."""
        return self._value_heads(page, layer)[:, math.prod(self.value_shape) :].view(torch.float32)

    def write(
        self, layer: int, k: Tensor, v: Tensor, page_ids: Tensor, start_positions: Tensor, seq_lens: Tensor
    ) -> None:
        """k, v [rows, kv_heads, head_dim] of [sequences, rows each] tokens from start_positions on."""
        each = k.shape[0] // page_ids.shape[0]
        for row in range(k.shape[0]):
            n = row // each
            position = int(start_positions[n]) + row % each
            valid = position < int(seq_lens[n])
            page = int(page_ids[n, position // self.page_size]) if valid else 0
            slot, key, value = position % self.page_size, k[row], v[row]
            if self.quantized:
                key, self.key_scales(page, layer)[:, :, slot] = _quantize(key, self.key_block)
                value, scale = _quantize(value, value.shape[-1])
                self.value_scales(page, layer)[:, slot] = scale[:, 0]
            self.keys(page, layer)[:, :, slot] = key.to(self.flat.dtype)
            self.values(page, layer)[:, slot] = value.to(self.flat.dtype)

    def read(self, layer: int, page_ids: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """Keys and values [length, kv_heads, head_dim] float32 of one sequence."""
        pages = [int(page) for page in page_ids[: -(-length // self.page_size)]]
        keys = torch.cat([self.keys(page, layer) for page in pages], 2).float()
        values = torch.cat([self.values(page, layer) for page in pages], 1).float()
        if self.quantized:
            scales = torch.cat([self.key_scales(page, layer) for page in pages], 2)
            keys *= scales.repeat_interleave(self.key_block, 1)
            values *= torch.cat([self.value_scales(page, layer) for page in pages], 1)[:, :, None]
        return keys[:, :, :length].permute(2, 0, 1), values[:, :length].permute(1, 0, 2)

    def _key_heads(self, page: int, layer: int) -> Tensor:
        at = layer * self.layer_elements
        return self.flat[page, at : at + self.key_elements].view(self.kv_heads, -1)

    def _value_heads(self, page: int, layer: int) -> Tensor:
        at = layer * self.layer_elements
        return self.flat[page, at + self.key_elements : at + self.layer_elements].view(self.kv_heads, -1)


def _quantize(x: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """[heads, dim] -> whole numbers from -127 to 127 [heads, dim], and the scale of each block [heads, dim / block]."""
    blocks = x.reshape(x.shape[0], -1, block)
    largest = blocks.abs().amax(-1)
    codes = (blocks * (127 / largest.clamp(min=1e-30))[..., None]).round()
    return codes.flatten(1), largest * (1 / 127)
