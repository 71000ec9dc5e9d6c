"""The paged cache in eager torch: the reference of what the kernels' in-place reads and writes mean."""

import torch
from torch import Tensor


class PagedCache:
    """Views of a flat cache [pages, page_elements]; its layout is that of kernels/cache.py."""

    def __init__(
        self, flat: Tensor, page_size: int, layers: int, kv_heads: int, key_head_dim: int, value_head_dim: int
    ) -> None:
        self.flat, self.page_size = flat, page_size
        self.key_shape = (kv_heads, key_head_dim, page_size)
        self.value_shape = (kv_heads, page_size, value_head_dim)
        self.key_elements = kv_heads * key_head_dim * page_size
        self.layer_elements = self.key_elements + kv_heads * value_head_dim * page_size

    def keys(self, page: int, layer: int) -> Tensor:
        """[kv_heads, key_head_dim, page_size], a view."""
        at = layer * self.layer_elements
        return self.flat[page, at : at + self.key_elements].view(self.key_shape)

    def values(self, page: int, layer: int) -> Tensor:
        """[kv_heads, page_size, value_head_dim], a view."""
        at = layer * self.layer_elements
        return self.flat[page, at + self.key_elements : at + self.layer_elements].view(self.value_shape)

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
            self.keys(page, layer)[:, :, position % self.page_size] = k[row].to(self.flat.dtype)
            self.values(page, layer)[:, position % self.page_size] = v[row].to(self.flat.dtype)

    def read(self, layer: int, page_ids: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """Keys and values [length, kv_heads, head_dim] float32 of one sequence."""
        pages = [int(page) for page in page_ids[: -(-length // self.page_size)]]
        keys = torch.cat([self.keys(page, layer) for page in pages], 2)[:, :, :length]
        values = torch.cat([self.values(page, layer) for page in pages], 1)[:, :length]
        return keys.permute(2, 0, 1).float(), values.permute(1, 0, 2).float()
