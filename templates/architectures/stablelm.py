"""StableLM: LayerNorm with a bias, rotation of a part of each head, and blocks one after the other or side by side."""

from torch import Tensor

from sharkpack.formats.errors import SharkpackError
from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.layers.attention_block import Angles, Batch
from sharkpack.templates.layers.decoder import Decoder
from sharkpack.templates.layers.dense_block import DenseBlock
from sharkpack.templates.layers.model_options import ModelOptions
from sharkpack.templates.layers.modules import LayerNorm
from sharkpack.templates.layers.recipe import Recipe, WeightTable, refuse_unknown_keys
from sharkpack.templates.layers.rope import plain_frequencies
from sharkpack.templates.layers.shape import RMS_EPSILON, SHAPE_KEYS, Shape
from sharkpack.templates.layers.source import Source

EPSILON = "attention.layer_norm_epsilon"
PARALLEL = "use_parallel_residual"
KNOWN_KEYS = (SHAPE_KEYS - {RMS_EPSILON}) | {EPSILON, PARALLEL}


class Layer(DenseBlock):
    """Without a norm of its own, the feed-forward part takes what attention takes, and both are added to x."""

    def __init__(self, table: WeightTable, index: int, shape: Shape, options: ModelOptions, cache: CacheLayout) -> None:
        super().__init__(table, index, shape, options, cache)
        name = f"blk.{index}.ffn_norm"
        self.attn_norm = LayerNorm(table, f"blk.{index}.attn_norm", shape.dim, shape.epsilon)
        self.ffn_norm: LayerNorm | None = None
        if table.has(f"{name}.weight"):
            self.ffn_norm = LayerNorm(table, name, shape.dim, shape.epsilon)

    def forward(self, x: Tensor, angles: Angles, batch: Batch, cache: Tensor) -> tuple[Tensor, Tensor]:
        h = self.attn_norm(x)
        x, cache = self.attend(h, angles, batch, cache, residual=x)
        return self.feed_forward(self.ffn_norm(x) if self.ffn_norm is not None else h, residual=x), cache


def build(source: Source, options: ModelOptions) -> Decoder:
    refuse_unknown_keys(source, KNOWN_KEYS)
    shape, table = Shape.of(source, epsilon_key=EPSILON), WeightTable(source)
    parallel = not table.has("blk.0.ffn_norm.weight")
    # A GGUF file may call a model parallel that is not: llama.cpp goes by the norms alone.
    if source.kind != "gguf" and source.boolean(PARALLEL, parallel) != parallel:
        found = "no" if parallel else "a"
        raise SharkpackError(f"{PARALLEL} is {not parallel}, but the feed-forward parts have {found} norm of their own")
    return Decoder(
        table,
        shape,
        options,
        lambda index, cache: Layer(table, index, shape, options, cache),
        {"all": (plain_frequencies(shape.rope_theta, shape.rope_dim), 1.0)},
        norm=LayerNorm,
    )


STABLELM = Recipe(name="stablelm", build=build)
