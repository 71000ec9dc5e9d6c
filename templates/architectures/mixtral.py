"""Mixtral: Llama's graph with a mixture of experts in each layer. A GGUF file calls it llama with experts."""

from torch import Tensor

from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.layers.attention_block import Angles, AttentionConfig, Batch
from sharkpack.templates.layers.decoder import Decoder
from sharkpack.templates.layers.expert_block import EXPERT_KEYS, ExpertBlock, Experts
from sharkpack.templates.layers.model_options import ModelOptions
from sharkpack.templates.layers.modules import RMSNorm
from sharkpack.templates.layers.recipe import WeightTable, refuse_unknown_keys
from sharkpack.templates.layers.rope import SCALING_KEYS, scaled_frequencies
from sharkpack.templates.layers.shape import SHAPE_KEYS, Shape
from sharkpack.templates.layers.source import Source

KNOWN_KEYS = SHAPE_KEYS | SCALING_KEYS | EXPERT_KEYS | {"attention.sliding_window"}


class Layer(ExpertBlock):
    def __init__(
        self,
        table: WeightTable,
        index: int,
        shape: Shape,
        options: ModelOptions,
        cache: CacheLayout,
        experts: Experts,
        attending: AttentionConfig,
    ) -> None:
        super().__init__(table, index, shape, options, cache, experts, attending)
        self.attn_norm = RMSNorm(table, f"blk.{index}.attn_norm", shape.dim, shape.epsilon)
        self.ffn_norm = RMSNorm(table, f"blk.{index}.ffn_norm", shape.dim, shape.epsilon)

    def forward(self, x: Tensor, angles: Angles, batch: Batch, cache: Tensor) -> tuple[Tensor, Tensor]:
        x, cache = self.attend(self.attn_norm(x), angles, batch, cache, residual=x)
        return self.mixture(self.ffn_norm(x), residual=x), cache


def build(source: Source, options: ModelOptions) -> Decoder:
    """Called by Llama's recipe for a source that has experts."""
    refuse_unknown_keys(source, KNOWN_KEYS)
    shape, table = Shape.of(source), WeightTable(source)
    experts = Experts.of(source, feed_forward=shape.feed_forward, normalise=True)
    attending = AttentionConfig(
        window=source.integer("attention.sliding_window", 0), pairs_neighbours=source.ggml_row_order
    )
    return Decoder(
        table,
        shape,
        options,
        lambda index, cache: Layer(table, index, shape, options, cache, experts, attending),
        {"all": scaled_frequencies(source, shape.rope_theta, shape.rope_dim)},
    )
