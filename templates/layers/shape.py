"""The sizes that every architecture has, read and checked once. What is an architecture's own, its file reads."""

from dataclasses import dataclass

from sharkpack.formats.errors import SharkpackError
from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.layers.model_options import ModelOptions
from sharkpack.templates.layers.recipe import require_multiple
from sharkpack.templates.layers.source import Source

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
    """The sizes of a decoder: layers, widths, heads, rotated dimensions, the epsilon of its norms."""

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
    def of(
        cls, source: Source, *, head_dim: int | None = None, theta: float = 10000.0, epsilon_key: str = RMS_EPSILON
    ) -> "Shape":
        """Reads the sizes that the source declares.

        head_dim, theta: of the architecture where the source says nothing of them (head_dim None: dim / heads). Raises
        SharkpackError for sizes that contradict each other.
        """
        dim, heads = source.integer("embedding_length"), source.integer("attention.head_count")
        kv_heads = source.integer("attention.head_count_kv", heads)
        head_dim = source.integer("attention.key_length", head_dim or dim // max(heads, 1))
        rope_dim = source.integer("rope.dimension_count", head_dim)
        _check_heads(source, heads, kv_heads, head_dim, rope_dim)
        epsilon = source.floating(epsilon_key)
        if not epsilon > 0:
            raise SharkpackError(f"{epsilon_key} is {epsilon:g}; it must be above zero")
        for key in ("block_count", "embedding_length"):
            if source.integer(key) < 1:
                raise SharkpackError(f"{key} is {source.integer(key)}; it must be at least 1")
        return cls(
            layers=source.integer("block_count"),
            dim=dim,
            feed_forward=source.integer("feed_forward_length"),
            heads=heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            rope_dim=rope_dim,
            rope_theta=source.floating("rope.freq_base", theta),
            epsilon=epsilon,
            vocab_size=_rows_of(source, "token_embd.weight"),
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


def _rows_of(source: Source, name: str) -> int:
    """The number of rows of tensor `name`: how a source says its vocabulary's size."""
    if name not in source.tensors:
        raise SharkpackError(f"tensor '{name}' is missing; a {source.architecture} model has it")
    return source.tensors[name].shape[0]


def _check_heads(source: Source, heads: int, kv_heads: int, head_dim: int, rope_dim: int) -> None:
    """Refuse head counts and sizes that contradict each other."""
    if heads < 1 or kv_heads < 1 or heads % kv_heads:
        raise SharkpackError(f"{heads} attention heads cannot share {kv_heads} key and value heads")
    if source.integer("attention.value_length", head_dim) != head_dim:
        raise SharkpackError(
            f"attention.value_length is not attention.key_length ({head_dim}); "
            f"the {source.architecture} recipe needs them equal"
        )
    if rope_dim > head_dim:
        raise SharkpackError(f"rope.dimension_count is {rope_dim}, more than the {head_dim} dimensions of a head")
    require_multiple("the head size", head_dim, 16)
    require_multiple("rope.dimension_count", rope_dim, 2 if rope_dim <= head_dim // 32 * 32 else 32)
