"""Each operator as portable linalg against its eager reference."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sharkpack.formats.cache_geometry import CacheDtype
from sharkpack.formats.packing import LAYOUTS
from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.ops.paged_cache import CACHE_DTYPES, PagedCache
from tests.templates.lowering.generic.operator_runner import Case, OperatorRunner
from tests.templates.weights import error, random_matrix

ROWS, N, K = 5, 40, 256

FAMILIES = ("f16", "q5_1", "mxfp4", "q4_k", "q6_k", "iq2_xs")
"""One layout of each family: floats, planes and minimums, bfloat16 scales, tables, nested scales of all kinds."""
OTHERS = tuple(layout for layout in LAYOUTS if layout not in FAMILIES)


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _embedding(layout: str) -> Case:
    """Looks up all rows of a matrix: each of its elements."""
    weight = random_matrix(layout, N, K).tensor
    return Case(
        operator="embedding",
        inputs={"tokens": torch.arange(N - 1, -1, -1), "weight": weight},
        static={"layout": layout, "n": N, "k": K},
    )


def _matmul(layout: str, **more: Tensor) -> Case:
    return Case(
        operator="matmul",
        inputs={"x": _random(ROWS, K), "weight": random_matrix(layout, N, K).tensor, **more},
        static={"layout": layout, "n": N, "k": K, "rounding": "plain"},
    )


def _norm(heads: int, **more: Tensor) -> Case:
    inputs = {"x": _random(ROWS, 64), "weight": _random(64 // heads, seed=1), **more}
    return Case(operator="rms_norm", inputs=inputs, static={"epsilon": 1e-5})


def _gated(activation: str) -> Case:
    inputs = {"gate": 3 * _random(ROWS, 64), "up": _random(ROWS, 64, seed=1)}
    return Case(operator="gated", inputs=inputs, static={"activation": activation})


def _route(*, normalise: bool) -> Case:
    return Case(operator="route", inputs={"logits": _random(ROWS, 7)}, static={"top_k": 3, "normalise": normalise})


def _tied_route() -> Case:
    logits = torch.tensor([[0.0, 1.0, 3.0, 2.0, 3.0], [1.0, 1.0, 1.0, 1.0, 1.0]])
    return Case(operator="route", inputs={"logits": logits}, static={"top_k": 2, "normalise": True})


def _expert_matmul(*, each_choice: bool) -> Case:
    experts, n, k, chosen = 4, 48, 64, torch.tensor([[3, 0], [1, 3], [2, 1]])
    inputs = {
        "x": _random(3, 2 * k if each_choice else k),
        "chosen": chosen,
        "weight": random_matrix("q4_1", experts * n, k).tensor,
    }
    return Case(operator="expert_matmul", inputs=inputs, static={"layout": "q4_1", "experts": experts, "n": n, "k": k})


def _attend(dtype: CacheDtype, *, step: bool = False, norms: bool = False, rope_dim: int = 32, **more: Any) -> Case:
    """Two sequences on scattered pages, of which the first has rows of padding; what nobody wrote is no number."""
    layout = CacheLayout(dtype=dtype, page_size=16, layers=3, kv_heads=2, key_head_dim=32, value_head_dim=32)
    heads, starts, lens, tokens = 4, [18, 3], ([19, 4] if step else [21, 8]), (1 if step else 5)
    rows, pages = 2 * tokens, torch.tensor([[4, 2], [1, 3]])
    cache = torch.full((5, layout.page_elements), -1 if dtype == "i8" else torch.nan, dtype=CACHE_DTYPES[dtype])
    static = {
        **{"layer": 1, "heads": heads, "scale": 0.3, "window": 0, "softcap": 0.0, "epsilon": 1e-5, "step": step},
        **{"page_size": 16, "layers": 3, "kv_heads": 2, "key_head_dim": 32, "value_head_dim": 32},
        **more,
    }
    before = Case(
        operator="attend",
        inputs={
            **_rows(36, rope_dim, heads, 2),
            **{"page_ids": pages, "start_positions": torch.tensor([0, 0]), "seq_lens": torch.tensor(starts)},
            "cache": cache,
        },
        static={**static, "step": False},
    )
    given = {
        **_rows(rows, rope_dim, heads, 2, seed=9),
        **{f"{name}_norm": _random(32, seed=seed) for name, seed in (("q", 5), ("k", 6)) if norms},
        **{"page_ids": pages, "start_positions": torch.tensor(starts), "seq_lens": torch.tensor(lens)},
        "cache": before.expected()[0],
    }
    return Case(operator="attend", inputs=given, static=static, fixed=step)


def _rows(rows: int, rope_dim: int, heads: int, kv_heads: int, seed: int = 0) -> dict[str, Tensor]:
    turns = _random(rows, rope_dim // 2, seed=seed + 3)
    return {
        "q": _random(rows, heads * 32, seed=seed),
        "k": _random(rows, kv_heads * 32, seed=seed + 1),
        "v": _random(rows, kv_heads * 32, seed=seed + 2),
        "angles": torch.cat([turns.cos(), turns.sin()], 1),
    }


CASES: dict[str, Case] = {
    **{f"embedding_{layout}": _embedding(layout) for layout in FAMILIES},
    "matmul": _matmul("q4_k"),
    "matmul_biased": _matmul("q8_0", bias=_random(N, seed=2)),
    "matmul_added": _matmul("f16", bias=_random(N, seed=2), residual=_random(ROWS, N, seed=3)),
    "norm": _norm(1),
    "norm_added": _norm(1, residual=_random(ROWS, 64, seed=2)),
    "norm_of_heads": _norm(4),
    "silu": _gated("silu"),
    "gelu": _gated("gelu"),
    "gelu_f16": _gated("gelu_f16"),
    "route": _route(normalise=False),
    "route_normalised": _route(normalise=True),
    "tied": _tied_route(),
    "experts": _expert_matmul(each_choice=False),
    "experts_each": _expert_matmul(each_choice=True),
    "attend": _attend("f32"),
    "attend_normed": _attend("f16", norms=True, rope_dim=16),
    "attend_in_window": _attend("i8", window=4, softcap=2.0),
    "attend_step": _attend("f32", step=True, norms=True),
    "attend_step_i8": _attend("i8", step=True, window=9),
}


@pytest.fixture(scope="module")
def runner() -> OperatorRunner:
    return OperatorRunner(CASES)


@pytest.fixture(scope="module")
def others() -> OperatorRunner:
    return OperatorRunner({f"embedding_{layout}": _embedding(layout) for layout in OTHERS})


def _check_elements(runner: OperatorRunner, layout: str) -> None:
    """Elements may differ by the order of operations."""
    (expected,), (found,) = runner.cases[f"embedding_{layout}"].expected(), runner(f"embedding_{layout}")
    assert error(found, expected) < 1e-6


@pytest.mark.parametrize("layout", FAMILIES)
def test_each_element_of_a_weight_is_that_of_its_layout(runner: OperatorRunner, layout: str) -> None:
    _check_elements(runner, layout)


@pytest.mark.slow
@pytest.mark.parametrize("layout", OTHERS)
def test_other_layouts(others: OperatorRunner, layout: str) -> None:
    _check_elements(others, layout)


def test_of_equal_experts_the_first_comes_first(runner: OperatorRunner) -> None:
    chosen, weights = runner("tied")
    assert chosen.tolist() == [[2, 4], [0, 1]]
    assert weights.tolist() == [[0.5, 0.5], [0.5, 0.5]]


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith(("embedding", "attend", "tied"))])
def test_an_operator_is_its_reference(runner: OperatorRunner, name: str) -> None:
    for found, expected in zip(runner(name), CASES[name].expected(), strict=True):
        # A value on the edge between two float16 may go to the other.
        assert error(found, expected) < (1e-3 if name == "gelu_f16" else 2e-6)


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("attend")])
def test_attention_and_what_it_writes(runner: OperatorRunner, name: str) -> None:
    """CallRows of padding, and page 0, which they write to, are not compared."""
    case = CASES[name]
    (cache, y), (wanted_cache, wanted) = runner(name), case.expected()
    own = [0, 1] if case.static["step"] else [0, 1, 2, 5, 6, 7, 8, 9]
    # An 8-bit code that falls on the other side of a tie, as one in hundreds does.
    assert error(y[own], wanted[own]) < (2e-3 if cache.dtype == np.int8 else 2e-6)
    for found, expected in zip(_stored(case, torch.from_numpy(cache)), _stored(case, wanted_cache), strict=True):
        assert error(found, expected) < {"int8": 1e-2, "float16": 1e-3, "float32": 1e-6}[cache.dtype.name]


@pytest.mark.parametrize("name", ["attend", "attend_step_i8"])
def test_other_layers_and_slots_are_left_alone(runner: OperatorRunner, name: str) -> None:
    case = CASES[name]
    cache, before, after = runner(name)[0][1:], case.inputs["cache"], case.expected()[0][1:].numpy()
    assert before is not None
    untouched = before[1:].numpy().view(np.uint8) == after.view(np.uint8)
    assert 0.5 < untouched.mean() < 1
    assert np.array_equal(cache.view(np.uint8)[untouched], after.view(np.uint8)[untouched])


def _stored(case: Case, cache: Tensor) -> list[Tensor]:
    """Keys and values of both sequences, in their layer."""
    sizes = ("page_size", "layers", "kv_heads", "key_head_dim", "value_head_dim")
    paged = PagedCache(cache, *(case.static[size] for size in sizes))
    pages, lens = case.inputs["page_ids"], case.inputs["seq_lens"]
    assert pages is not None
    assert lens is not None
    read = [paged.read(case.static["layer"], pages[n], int(lens[n])) for n in range(2)]
    return [torch.cat([each.flatten() for each in both]) for both in zip(*read, strict=True)]
