"""The sizes that every architecture has, read and checked once. What is an architecture's own, its file reads."""

from dataclasses import dataclass

from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.recipe import ModelOptions, Source, check_heads, rows_of

RMS_EPSILON = "attention.layer_norm_rms_epsilon"

SHAPE_KEYS = frozenset(
    {
        "attention.head_count",
        "attention.head_count_kv",
        "attention.key_length",
        "attention.value_length",
        RMS_EPSILON,
        "rope.freq_base",
        "rope.dimension_count",
    }
)
"""The hyperparameters that `Shape.of` reads, beside those that only describe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Of a decoder: layers and widths, heads of attention, rotated dimensions of each, the epsilon of its norms."""

    layers: int
    dim: int
    feed_forward: int
    heads: int
    kv_heads: int
    head_dim: int
    rope_dim: int
    rope_theta: float
    epsilon: float
    vocab_size: int

    @classmethod
    def of(cls, source: Source, *, head_dim: int | None = None, theta: float = 10000.0) -> "Shape":
        """What the source declares. head_dim, theta: of the architecture where the source says nothing of them
        (head_dim None: dim / heads). Raises SharkpackError for sizes that contradict each other."""
        dim, heads = source.integer("embedding_length"), source.integer("attention.head_count")
        kv_heads = source.integer("attention.head_count_kv", heads)
        head_dim = source.integer("attention.key_length", head_dim or dim // max(heads, 1))
        rope_dim = source.integer("rope.dimension_count", head_dim)
        check_heads(source, heads, kv_heads, head_dim, rope_dim)
        return cls(
            layers=source.integer("block_count"),
            dim=dim,
            feed_forward=source.integer("feed_forward_length"),
            heads=heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            rope_dim=rope_dim,
            rope_theta=source.floating("rope.freq_base", theta),
            epsilon=source.floating(RMS_EPSILON),
            vocab_size=rows_of(source, "token_embd.weight"),
        )

    @property
    def q_rows(self) -> int:
        return self.heads * self.head_dim

    @property
    def kv_rows(self) -> int:
        return self.kv_heads * self.head_dim

    def cache_layout(self, options: ModelOptions) -> CacheLayout:
        return CacheLayout(
            dtype=options.cache_dtype,
            page_size=options.page_size,
            layers=self.layers,
            kv_heads=self.kv_heads,
            key_head_dim=self.head_dim,
            value_head_dim=self.head_dim,
        )
