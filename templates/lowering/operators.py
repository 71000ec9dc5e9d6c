"""The neutral operators, as data: what recipes call, with neither precision nor fusion. A lowering decides on both.

This is the one place that says what an operator takes and returns: torch's schema and fakes (templates/ops) and the
reader of traced programs (parse.py) are made from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

Scalar = int | float | bool | str

_SCHEMA_TYPES: Mapping[type[Scalar], str] = {int: "int", float: "float", bool: "bool", str: "str"}


@dataclass(frozen=True, slots=True)
class Result:
    """A tensor that an operator returns.

    of: the tensor that it has the rows and, where `element` says nothing, the element type of.
    width: factors of its second size, each a static argument or a tensor that stands for its own width; without any,
        the shape is that of `of`.
    element: as MLIR's torch dialect writes it.
    """

    of: str
    width: tuple[str, ...] = ()
    element: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """The declaration of an operator: its arguments in order, tensors first, and its results.

    version: grows when what a call means changes, so that a stored program is not misread.
    optional: those of the tensors that may be None.
    """

    name: str
    version: int = 1
    tensors: tuple[str, ...]
    optional: frozenset[str] = frozenset()
    static: Mapping[str, type[Scalar]] = field(default_factory=dict)
    results: Mapping[str, Result]

    @property
    def arguments(self) -> tuple[str, ...]:
        return (*self.tensors, *self.static)

    @property
    def schema(self) -> str:
        """The schema as torch writes it: "(Tensor x, Tensor? bias, int n) -> Tensor"."""
        tensors = [f"Tensor{'?' if name in self.optional else ''} {name}" for name in self.tensors]
        static = [f"{_SCHEMA_TYPES[kind]} {name}" for name, kind in self.static.items()]
        results = ", ".join(["Tensor"] * len(self.results))
        return f"({', '.join([*tensors, *static])}) -> {results if len(self.results) == 1 else f'({results})'}"


EMBEDDING = Operator(
    name="embedding",
    tensors=("tokens", "weight"),
    static={"layout": str, "n": int, "k": int},
    results={"y": Result("tokens", ("k",), "f32")},
)

MATMUL = Operator(
    name="matmul",
    tensors=("x", "weight", "bias", "residual"),
    optional=frozenset({"bias", "residual"}),
    static={"layout": str, "n": int, "k": int, "rounding": str},
    results={"y": Result("x", ("n",))},
)

RMS_NORM = Operator(
    name="rms_norm",
    tensors=("x", "weight", "residual"),
    optional=frozenset({"residual"}),
    static={"epsilon": float},
    results={"y": Result("x")},
)

GATED = Operator(
    name="gated",
    tensors=("gate", "up"),
    static={"activation": str},
    results={"y": Result("gate")},
)

ATTEND = Operator(
    name="attend",
    tensors=(
        *("q", "k", "v", "angles", "q_norm", "k_norm"),
        *("page_ids", "start_positions", "seq_lens", "cache"),
    ),
    optional=frozenset({"q_norm", "k_norm"}),
    static={
        **{"layer": int, "heads": int, "scale": float, "window": int},
        **{"page_size": int, "layers": int, "kv_heads": int, "key_head_dim": int, "value_head_dim": int},
        **{"softcap": float, "epsilon": float, "step": bool},
    },
    results={"cache": Result("cache"), "y": Result("q", ("heads", "value_head_dim"))},
)

ROUTE = Operator(
    name="route",
    tensors=("logits",),
    static={"top_k": int, "normalise": bool},
    results={"chosen": Result("logits", ("top_k",), "si64"), "weights": Result("logits", ("top_k",))},
)

EXPERT_MATMUL = Operator(
    name="expert_matmul",
    tensors=("x", "chosen", "weight"),
    static={"layout": str, "experts": int, "n": int, "k": int},
    results={"y": Result("x", ("chosen", "n"))},
)

OPERATORS: Mapping[str, Operator] = {
    operator.name: operator for operator in (EMBEDDING, MATMUL, RMS_NORM, GATED, ATTEND, ROUTE, EXPERT_MATMUL)
}
