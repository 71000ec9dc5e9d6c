"""The operations that recipes are made of, as torch operators, each with its eager float32 reference.

A recipe calls these; the bundler finds them in the traced program and puts in the kernel that lowering.py names.
Weights are packed int8 streams (sharkpack.formats.packing); "rows" are the tokens of all sequences, flattened.
"""

import torch
from torch import Tensor

from sharkpack.formats.packing import LAYOUTS, unpack, unpack_rows
from sharkpack.templates.paged import PagedCache

NAMESPACE = "sharkpack"


def _dense(weight: Tensor, layout: str, n: int, k: int) -> Tensor:
    dense: Tensor = torch.from_numpy(unpack(LAYOUTS[layout], weight.numpy().view("uint8"), (n, k)))
    return dense


@torch.library.custom_op(f"{NAMESPACE}::embedding", mutates_args=())
def embedding(tokens: Tensor, weight: Tensor, layout: str, n: int, k: int) -> Tensor:
    """Rows `tokens` [rows] i64 of a packed [n, k] table, as [rows, k] float32."""
    return torch.from_numpy(unpack_rows(LAYOUTS[layout], weight.numpy().view("uint8"), (n, k), tokens.numpy()))


@embedding.register_fake
def _(tokens: Tensor, weight: Tensor, layout: str, n: int, k: int) -> Tensor:
    return weight.new_empty((tokens.shape[0], k), dtype=torch.float32)


@torch.library.custom_op(f"{NAMESPACE}::matmul_float32", mutates_args=())
def matmul_float32(
    x: Tensor, weight: Tensor, bias: Tensor | None, residual: Tensor | None, layout: str, n: int, k: int
) -> Tensor:
    """x [rows, k] float32 times a packed [n, k] weight, transposed, plus bias [n] and residual [rows, n]."""
    y: Tensor = x @ _dense(weight, layout, n, k).T
    y = y if bias is None else y + bias
    return y if residual is None else y + residual


@matmul_float32.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor | None, residual: Tensor | None, layout: str, n: int, k: int) -> Tensor:
    return x.new_empty((x.shape[0], n))


@torch.library.custom_op(f"{NAMESPACE}::matmul_int8", mutates_args=())
def matmul_int8(
    codes: Tensor,
    scales: Tensor,
    remainders: Tensor | None,
    remainder_sums: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    residual: Tensor | None,
    layout: str,
    n: int,
    k: int,
) -> Tensor:
    """As matmul_float32 for activations as `quantize` makes them; with remainders, to 16 bits instead of 8."""
    units = codes.float() if remainders is None else codes.float() + remainders.float() / 256.0
    x = (units.reshape(-1, k // 32, 2, 16) * scales[:, :, :2, None]).reshape(-1, k)
    y: Tensor = matmul_float32(x, weight, bias, residual, layout, n, k)
    return y


@matmul_int8.register_fake
def _(
    codes: Tensor,
    scales: Tensor,
    remainders: Tensor | None,
    remainder_sums: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    residual: Tensor | None,
    layout: str,
    n: int,
    k: int,
) -> Tensor:
    return scales.new_empty((codes.shape[0], n))


def _quantized_like(x: Tensor) -> tuple[Tensor, Tensor]:
    rows, k = x.shape
    return x.new_empty((rows, k), dtype=torch.int8), x.new_empty((rows, k // 32, 4))


def _quantize(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Codes and scales as `quantize`, and what rounding left as int8 codes [rows, k] of d / 256, with d / 256 times
    their sum in each half of 32, [rows, k/32, 2]."""
    halves = x.reshape(x.shape[0], -1, 2, 16)
    largest = halves.abs().amax(-1)
    d = largest * (1.0 / 127.0)
    exact = halves * (127.0 / largest.clamp_min(1e-30))[..., None]
    codes = torch.round(exact)
    left = torch.round((exact - codes) * 256.0).clamp_max(127.0)
    scales = torch.cat([d, codes.sum(-1) * d], -1)
    return (
        codes.to(torch.int8).reshape(x.shape),
        scales,
        left.to(torch.int8).reshape(x.shape),
        left.sum(-1) * (d / 256.0),
    )


@torch.library.custom_op(f"{NAMESPACE}::quantize", mutates_args=())
def quantize(x: Tensor) -> tuple[Tensor, Tensor]:
    """x [rows, k] float32 as int8 codes [rows, k] and, for each 32, {d, d, d*sum, d*sum} of its two halves, float32.

    d = max|x| / 127 of the 16 values; codes are round-half-even(x / d).
    """
    return _quantize(x)[:2]


@quantize.register_fake
def _(x: Tensor) -> tuple[Tensor, Tensor]:
    return _quantized_like(x)


@torch.library.custom_op(f"{NAMESPACE}::rms_norm", mutates_args=())
def rms_norm(x: Tensor, weight: Tensor, residual: Tensor | None, epsilon: float) -> Tensor:
    """x / sqrt(mean(x^2) + epsilon) * weight (+ residual), over each `len(weight)` values of a row of x."""
    heads = x.reshape(x.shape[0], -1, weight.shape[0])
    y = (heads * torch.rsqrt(heads.square().mean(-1, keepdim=True) + epsilon) * weight).reshape(x.shape)
    return y if residual is None else y + residual


@rms_norm.register_fake
def _(x: Tensor, weight: Tensor, residual: Tensor | None, epsilon: float) -> Tensor:
    return torch.empty_like(x)


@torch.library.custom_op(f"{NAMESPACE}::rms_norm_int8", mutates_args=())
def rms_norm_int8(x: Tensor, weight: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """quantize(rms_norm(x, weight))"""
    return _quantize(rms_norm(x, weight, None, epsilon))[:2]


@rms_norm_int8.register_fake
def _(x: Tensor, weight: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    return _quantized_like(x)


@torch.library.custom_op(f"{NAMESPACE}::rms_norm_int16", mutates_args=())
def rms_norm_int16(x: Tensor, weight: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """As rms_norm_int8, with the remainders that rounding left (int8, of d / 256) and their sums."""
    return _quantize(rms_norm(x, weight, None, epsilon))


@rms_norm_int16.register_fake
def _(x: Tensor, weight: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    codes, scales = _quantized_like(x)
    return codes, scales, torch.empty_like(codes), x.new_empty((x.shape[0], x.shape[1] // 32, 2))


@torch.library.custom_op(f"{NAMESPACE}::gated", mutates_args=())
def gated(gate: Tensor, up: Tensor, activation: str) -> Tensor:
    """silu(gate) * up; gelu(gate) * up in its tanh form; or gelu_f16: gelu from float16 to float16, as ggml's table."""
    if activation == "silu":
        return torch.nn.functional.silu(gate) * up
    if activation == "gelu":
        return torch.nn.functional.gelu(gate, approximate="tanh") * up
    return torch.nn.functional.gelu(gate.half().float(), approximate="tanh").half().float() * up


@gated.register_fake
def _(gate: Tensor, up: Tensor, activation: str) -> Tensor:
    return torch.empty_like(gate)


@torch.library.custom_op(f"{NAMESPACE}::gated_int8", mutates_args=())
def gated_int8(gate: Tensor, up: Tensor, activation: str) -> tuple[Tensor, Tensor]:
    """quantize(gated(gate, up))"""
    return _quantize(gated(gate, up, activation))[:2]


@gated_int8.register_fake
def _(gate: Tensor, up: Tensor, activation: str) -> tuple[Tensor, Tensor]:
    return _quantized_like(gate)


@torch.library.custom_op(f"{NAMESPACE}::gated_matmul_int8", mutates_args=())
def gated_matmul_int8(
    x_codes: Tensor,
    x_scales: Tensor,
    gate: Tensor,
    up: Tensor,
    activation: str,
    gate_layout: str,
    up_layout: str,
    n: int,
    k: int,
) -> tuple[Tensor, Tensor]:
    """quantize(gated(x . gate^T, x . up^T)) of int8 activations [rows, k] and packed weights [n, k]."""
    made = [
        matmul_int8(x_codes, x_scales, None, None, weight, None, None, layout, n, k)
        for weight, layout in ((gate, gate_layout), (up, up_layout))
    ]
    return _quantize(gated(*made, activation))[:2]


@gated_matmul_int8.register_fake
def _(
    x_codes: Tensor,
    x_scales: Tensor,
    gate: Tensor,
    up: Tensor,
    activation: str,
    gate_layout: str,
    up_layout: str,
    n: int,
    k: int,
) -> tuple[Tensor, Tensor]:
    rows = x_codes.shape[0]
    return x_codes.new_empty((rows, n)), x_scales.new_empty((rows, n // 32, 4))


@torch.library.custom_op(f"{NAMESPACE}::rope_and_store", mutates_args=())
def rope_and_store(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    angles: Tensor,
    page_ids: Tensor,
    start_positions: Tensor,
    seq_lens: Tensor,
    cache: Tensor,
    layer: int,
    heads: int,
    page_size: int,
    layers: int,
    kv_heads: int,
    key_head_dim: int,
    value_head_dim: int,
) -> tuple[Tensor, Tensor]:
    """Rotate q and k by `angles` [rows, rope_dim] (cosines, then sines), write k and v to the cache.

    Returns (cache, q). Rows at or past their sequence's seq_lens are padding and are written to page 0.
    """
    paged = PagedCache(cache.clone(), page_size, layers, kv_heads, key_head_dim, value_head_dim)
    rows = q.shape[0]
    q, k = _rotate(q.reshape(rows, heads, -1), angles), _rotate(k.reshape(rows, kv_heads, -1), angles)
    paged.write(layer, k, v.reshape(rows, kv_heads, -1), page_ids, start_positions, seq_lens)
    return paged.flat, q.reshape(rows, -1)


def _rotate(x: Tensor, angles: Tensor) -> Tensor:
    half = angles.shape[1] // 2
    cos, sin = angles[:, None, :half], angles[:, None, half:]
    a, b, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    return torch.cat([a * cos - b * sin, b * cos + a * sin, rest], -1)


@rope_and_store.register_fake
def _(  # type: ignore[no-untyped-def]
    q,
    k,
    v,
    angles,
    page_ids,
    start_positions,
    seq_lens,
    cache,
    layer,
    heads,
    page_size,
    layers,
    kv_heads,
    key_head_dim,
    value_head_dim,
):
    return torch.empty_like(cache), torch.empty_like(q)


@torch.library.custom_op(f"{NAMESPACE}::attention", mutates_args=())
def attention(
    q: Tensor,
    page_ids: Tensor,
    start_positions: Tensor,
    seq_lens: Tensor,
    cache: Tensor,
    layer: int,
    heads: int,
    scale: float,
    window: int,
    prefill: bool,
    page_size: int,
    layers: int,
    kv_heads: int,
    key_head_dim: int,
    value_head_dim: int,
) -> tuple[Tensor, Tensor]:
    """Causal attention of q [rows, heads*key_head_dim] over the pages; `window` 0 sees everything before.

    `prefill` says that a sequence may have several rows; it changes nothing but the kernel. Returns (cache, y); the
    cache is unchanged.
    """
    paged = PagedCache(cache, page_size, layers, kv_heads, key_head_dim, value_head_dim)
    sequences = page_ids.shape[0]
    each = q.shape[0] // sequences
    found = torch.zeros(q.shape[0], heads, value_head_dim)
    for n in range(sequences):
        keys, values = paged.read(layer, page_ids[n], int(seq_lens[n]))
        keys, values = (t.repeat_interleave(heads // kv_heads, 1) for t in (keys, values))
        position = torch.clamp(start_positions[n] + torch.arange(each), max=seq_lens[n] - 1)
        at = torch.arange(keys.shape[0])
        hidden = at[None, :] > position[:, None]
        if window:
            hidden |= at[None, :] <= position[:, None] - window
        rows = q[n * each : (n + 1) * each].reshape(each, heads, -1)
        scores = torch.einsum("shd,thd->hst", rows, keys) * scale
        weights = torch.softmax(scores.masked_fill(hidden, -torch.inf), -1)
        found[n * each : (n + 1) * each] = torch.einsum("hst,thd->shd", weights, values)
    return cache.clone(), found.reshape(q.shape[0], -1)


@attention.register_fake
def _(  # type: ignore[no-untyped-def]
    q,
    page_ids,
    start_positions,
    seq_lens,
    cache,
    layer,
    heads,
    scale,
    window,
    prefill,
    page_size,
    layers,
    kv_heads,
    key_head_dim,
    value_head_dim,
):
    return torch.empty_like(cache), q.new_empty((q.shape[0], heads * value_head_dim))
