"""From an operator of ops/, with the static arguments of one call, to the kernel that computes it."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from sharkpack.templates.kernels.attention import attention
from sharkpack.templates.kernels.attention_step import attention_step
from sharkpack.templates.kernels.cache import CacheDtype, CacheLayout
from sharkpack.templates.kernels.embedding import embedding
from sharkpack.templates.kernels.expert_matmul import expert_matmul
from sharkpack.templates.kernels.gated_matmul import gated_matmul
from sharkpack.templates.kernels.kernel import Kernel
from sharkpack.templates.kernels.matmul import Activations, JoinedMatmul, joint_matmul, matmul
from sharkpack.templates.kernels.rope_and_store import rope_and_store
from sharkpack.templates.kernels.routing import route
from sharkpack.templates.kernels.rows import Output, gated, quantize_rows, rms_norm

Shape = tuple[int | None, ...]

_CACHE_DTYPES: dict[str, CacheDtype] = {"f16": "f16", "f32": "f32", "si8": "i8"}
"""By torch's element types."""


class Call:
    """One call of an operator: its scalars by name, and the shape and element type of its tensors (None: not given)."""

    def __init__(self, scalars: Mapping[str, Any], tensors: Mapping[str, tuple[Shape, str] | None]) -> None:
        self.scalars, self.tensors = scalars, tensors

    def width(self, name: str) -> int:
        """The last dimension of tensor `name`, which is static."""
        found = self.tensors[name]
        assert found is not None
        size = found[0][-1]
        assert size is not None
        return size

    def given(self, name: str) -> bool:
        return self.tensors[name] is not None

    def cache_layout(self) -> CacheLayout:
        found = self.tensors["cache"]
        assert found is not None
        s = self.scalars
        return CacheLayout(
            dtype=_CACHE_DTYPES[found[1]],
            page_size=s["page_size"],
            layers=s["layers"],
            kv_heads=s["kv_heads"],
            key_head_dim=s["key_head_dim"],
            value_head_dim=s["value_head_dim"],
        )


def _matmul(call: Call, activations: Activations) -> Kernel:
    s = call.scalars
    return matmul(s["n"], s["k"], s["layout"], activations, bias=call.given("bias"), residual=call.given("residual"))


def _matmul_int8(call: Call) -> Kernel:
    return _matmul(call, "int8_remainder" if call.given("remainders") else "int8")


def _qkv_int8(call: Call) -> Kernel:
    s = call.scalars
    return joint_matmul(
        tuple(
            JoinedMatmul(
                n=s["n_q" if part == "q" else "n_kv"],
                k=s["k"],
                layout=s[f"layout_{part}"],
                activations="int8_remainder" if s[f"fine_{part}"] else "int8",
                bias=call.given(f"bias_{part}"),
                suffix=f"_{part}",
            )
            for part in ("q", "k", "v")
        )
    )


def _norm(call: Call, output: Output) -> Kernel:
    residual = "residual" in call.tensors and call.given("residual")
    size = call.width("weight")
    heads = call.width("x") // size
    return rms_norm(size, call.scalars["epsilon"], output=output, residual=residual, heads=heads)


def _expert_matmul(call: Call, activations: Literal["float32", "int8"]) -> Kernel:
    s, top_k = call.scalars, call.width("chosen")
    each_choice = call.width("codes" if activations == "int8" else "x") != s["k"]
    return expert_matmul(s["experts"], top_k, s["n"], s["k"], s["layout"], activations, each_choice=each_choice)


def _attention(call: Call, output: Literal["float32", "int8"]) -> Kernel:
    s = call.scalars
    window = s["window"] or None
    return attention(call.cache_layout(), s["heads"], s["scale"], window=window, cap=s["softcap"], output=output)


def _attention_step(call: Call, output: Literal["float32", "int8"]) -> Kernel:
    s = call.scalars
    return attention_step(
        call.cache_layout(),
        s["heads"],
        call.width("angles"),
        s["scale"],
        window=s["window"] or None,
        cap=s["softcap"],
        epsilon=s["epsilon"] if call.given("q_norm") else None,
        output=output,
    )


KERNELS: dict[str, Callable[[Call], Kernel]] = {
    "embedding": lambda c: embedding(c.scalars["n"], c.scalars["k"], c.scalars["layout"]),
    "matmul_int8": _matmul_int8,
    "qkv_int8": _qkv_int8,
    "matmul_float32": lambda c: _matmul(c, "float32"),
    "route": lambda c: route(c.width("logits"), c.scalars["top_k"], normalise=c.scalars["normalise"]),
    "expert_matmul_int8": lambda c: _expert_matmul(c, "int8"),
    "expert_matmul_float32": lambda c: _expert_matmul(c, "float32"),
    "quantize": lambda c: quantize_rows(c.width("x")),
    "quantize_int16": lambda c: quantize_rows(c.width("x"), remainder=True),
    "rms_norm": lambda c: _norm(c, "float32"),
    "rms_norm_int8": lambda c: _norm(c, "int8"),
    "rms_norm_int16": lambda c: _norm(c, "int8_remainder"),
    "gated": lambda c: gated(c.width("gate"), c.scalars["activation"], output="float32"),
    "gated_int8": lambda c: gated(c.width("gate"), c.scalars["activation"], output="int8"),
    "gated_matmul_int8": lambda c: gated_matmul(
        c.scalars["n"], c.scalars["k"], c.scalars["gate_layout"], c.scalars["up_layout"], c.scalars["activation"]
    ),
    "rope_and_store": lambda c: rope_and_store(c.cache_layout(), c.scalars["heads"], c.width("angles")),
    "attention": lambda c: _attention(c, "float32"),
    "attention_int8": lambda c: _attention(c, "int8"),
    "attention_step": lambda c: _attention_step(c, "float32"),
    "attention_step_int8": lambda c: _attention_step(c, "int8"),
}
