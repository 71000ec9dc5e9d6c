"""An attention block and a gated feed-forward part: a layer of a dense model, but for its norms and their order."""

from torch import Tensor

from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.layers.attention_block import AttentionBlock, AttentionConfig
from sharkpack.templates.layers.model_options import ModelOptions
from sharkpack.templates.layers.modules import Activation, Linear, gated
from sharkpack.templates.layers.recipe import WeightTable
from sharkpack.templates.layers.shape import Shape


class DenseBlock(AttentionBlock):
    """Weights `blk.<index>.attn_*` and `blk.<index>.ffn_gate`, `ffn_up`, `ffn_down`."""

    def __init__(
        self,
        table: WeightTable,
        index: int,
        shape: Shape,
        options: ModelOptions,
        cache: CacheLayout,
        attending: AttentionConfig | None = None,
        activation: Activation = "silu",
    ) -> None:
        super().__init__(table, index, shape, options, cache, attending)
        name, wide, dim = f"blk.{index}.ffn", shape.feed_forward, shape.dim
        self.activation = activation
        self.ffn_gate = Linear(table, f"{name}_gate", wide, dim)
        self.ffn_up = Linear(table, f"{name}_up", wide, dim)
        self.ffn_down = Linear(table, f"{name}_down", dim, wide)

    def feed_forward(self, h: Tensor, residual: Tensor | None = None) -> Tensor:
        """[rows, dim] -> [rows, dim] (+ residual)"""
        y: Tensor = self.ffn_down(gated(self.ffn_gate, self.ffn_up, h, self.activation), residual)
        return y
