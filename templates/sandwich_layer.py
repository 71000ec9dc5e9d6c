"""A layer with a norm before and after each of its parts, as Gemma 2 and 3 have it."""

from torch import Tensor

from sharkpack.templates.attention_block import Angles, Attending, Batch
from sharkpack.templates.dense_block import DenseBlock
from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.layers import Activation, RMSNorm
from sharkpack.templates.recipe import ModelOptions, WeightTable
from sharkpack.templates.shape import Shape


class SandwichLayer(DenseBlock):
    """x + norm(part(norm(x))), for attention and then for the feed-forward part."""

    def __init__(
        self,
        table: WeightTable,
        index: int,
        shape: Shape,
        options: ModelOptions,
        cache: CacheLayout,
        attending: Attending,
        gelu: Activation,
    ) -> None:
        super().__init__(table, index, shape, options, cache, attending, gelu)
        name, dim, epsilon = f"blk.{index}", shape.dim, shape.epsilon
        self.attn_norm = RMSNorm(table, f"{name}.attn_norm", dim, epsilon, remainder=True)
        self.post_attention_norm = RMSNorm(table, f"{name}.post_attention_norm", dim, epsilon)
        self.ffn_norm = RMSNorm(table, f"{name}.ffn_norm", dim, epsilon)
        self.post_ffw_norm = RMSNorm(table, f"{name}.post_ffw_norm", dim, epsilon)

    def forward(self, x: Tensor, angles: Angles, batch: Batch, cache: Tensor) -> tuple[Tensor, Tensor]:
        y, cache = self.attend(self.attn_norm(x), angles, batch, cache)
        x = self.post_attention_norm.add_to(x, y)
        return self.post_ffw_norm.add_to(x, self.feed_forward(self.ffn_norm(x))), cache
