"""The text around a kernel's body, and names that tell any two kernels apart."""

import itertools
import re
from collections.abc import Callable
from dataclasses import replace

from sharkpack.bundler.compile.targets import TARGETS
from sharkpack.formats.packing import LAYOUTS
from sharkpack.templates.kernels.attention import attention
from sharkpack.templates.kernels.attention_step import attention_step
from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.kernels.embedding import embedding
from sharkpack.templates.kernels.emitter import Binding
from sharkpack.templates.kernels.expert_matmul import expert_matmul
from sharkpack.templates.kernels.gated_matmul import gated_matmul
from sharkpack.templates.kernels.isa import PORTABLE
from sharkpack.templates.kernels.kernel import Kernel
from sharkpack.templates.kernels.matmul import JoinedMatmul, joint_matmul, matmul
from sharkpack.templates.kernels.rope_and_store import rope_and_store
from sharkpack.templates.kernels.rows import gated, quantize_rows, rms_norm
from sharkpack.templates.lowering.cpu import Cpu

COPY = Kernel(
    name="copy",
    bindings=(
        Binding.of("x", "?x16xf32"),
        Binding(name="cache", memref="?xf16", tensor="?x64xf16", access="update"),
        Binding.of("y", "?x16xf32", access="write"),
    ),
    operands=("layer",),
    dimensions={"rows": ("x", 0), "pages": ("cache", 0)},
    row_tile=4,
    groups=3,
    body=lambda e: e.do(f"test.body {e.index(7)}"),
)


def test_the_layout_counts_constants_and_marks_what_is_read() -> None:
    buffer = "#hal.pipeline.binding<storage_buffer"
    assert COPY.layout_alias == (
        f"#layout_copy = #hal.pipeline.layout<constants = 3, bindings = [{buffer}, ReadOnly>, {buffer}>, {buffer}>]>"
    )


def test_the_body_finds_operands_dimensions_and_buffers() -> None:
    lines = [line.strip() for line in COPY.render(PORTABLE).splitlines()]
    for ordinal, name in enumerate(("layer", "rows", "pages")):
        load = f"hal.interface.constant.load layout(#layout_copy) ordinal({ordinal}) : i32"
        assert f"%{name}_i32 = {load}" in lines
    for ordinal, (name, memref) in enumerate((("x", "?x16xf32"), ("cache", "?xf16"), ("y", "?x16xf32"))):
        (line,) = [line for line in lines if line.startswith(f"%{name} = hal.interface.binding")]
        assert f"binding({ordinal}) " in line
        assert line.endswith(f": memref<{memref}>{{%rows}}")
    constant, body = lines.index("%c0 = arith.constant 7 : index"), lines.index("test.body %c0")
    assert constant < body


def test_workgroups_are_rows_by_groups_or_groups_alone() -> None:
    text = COPY.render(PORTABLE)
    assert "%tile = arith.constant 4 : index" in text
    assert "%row_groups = arith.ceildivui %rows, %tile : index" in text
    assert "%groups = arith.constant 3 : index" in text
    assert "hal.return %row_groups, %groups, %c1" in text
    assert "hal.return %groups, %c1, %c1" in matmul(64, 32, "q8_0", "int8", bias=False, residual=False).render(PORTABLE)


def test_the_function_updates_in_place_and_returns_in_order() -> None:
    text = COPY.render(PORTABLE)
    types = "tensor<?x64xf16>, tensor<?x16xf32>"
    assert f"util.func private @copy(%layer: i32, %x: tensor<?x16xf32>, %cache: tensor<?x64xf16>) -> ({types})" in text
    assert "-> (%cache{%cache_size0}, tensor<?x16xf32>{%x_size0})" in text
    assert "(%layer, %rows, %pages, %x, %cache)" in text
    assert f"util.return %made#0, %made#1 : {types}" in text


def _all_kernels() -> list[Kernel]:
    switches = [False, True]
    found = [
        matmul(n, 256, layout, level, bias=bias, residual=residual)
        for layout in LAYOUTS
        for level in ("float32", "int8", "int8_remainder")
        if level == "float32" or LAYOUTS[layout].kind != "float"
        for n, bias, residual in itertools.product((32, 64), switches, switches)
    ]
    found += [embedding(n, 256, layout) for n in (32, 64) for layout in LAYOUTS]
    outputs = ("float32", "int8", "int8_remainder")
    for k, output in itertools.product((32, 64), outputs):
        found += [rms_norm(k, e, output=output, residual=r) for e in (1e-5, 1e-6, 1.5e-5) for r in switches]  # type: ignore[arg-type]
        found += [gated(k, activation, output=output) for activation in ("silu", "gelu", "gelu_f16")]  # type: ignore[arg-type]
    found += [quantize_rows(32), quantize_rows(64)]
    for dtype, page, kv_heads in itertools.product(("f16", "f32"), (16, 32), (1, 2)):
        layout = CacheLayout(
            dtype=dtype,  # type: ignore[arg-type]
            page_size=page,
            layers=3,
            kv_heads=kv_heads,
            key_head_dim=64,
            value_head_dim=32,
        )
        found += [rope_and_store(layout, heads, dim) for heads in (2, 4) for dim in (32, 64)]
        found += [
            attention(layout, heads, scale, window=window)
            for heads, scale, window in itertools.product((2, 4), (0.125, 0.0625), (None, 8, 80))
        ]
        found += [
            attention_step(layout, heads, dim, scale, window=window, epsilon=epsilon)
            for heads, dim, scale in itertools.product((2, 4), (32, 64), (0.125, 0.0625))
            for window, epsilon in itertools.product((None, 8, 80), (None, 1e-5, 1e-6))
        ]
    return found


def test_no_two_kernels_share_a_name_and_each_is_an_identifier() -> None:
    """A name is a symbol of the program: one for two kernels would silently make one of them do for both."""
    kernels = _all_kernels()
    names = {kernel.name for kernel in kernels}
    assert len(kernels) == len(names) > 200
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in names)


def test_what_an_instruction_set_lacks_is_not_used() -> None:
    isas = {target.lowering.isa for target in TARGETS.values() if isinstance(target.lowering, Cpu)}
    for kernel in _all_kernels()[::7]:
        for isa in (PORTABLE, *isas):
            text = kernel.render(isa)
            assert isa.fma or "math.fma" not in text
            assert kernel.name.startswith("matmul") or "llvm.call_intrinsic" not in text
            assert isa != PORTABLE or "llvm.call_intrinsic" not in text
    integer = matmul(32, 256, "q4_k", "int8", bias=False, residual=False)
    found = {isa.name: set(re.findall(r'"llvm\.(?:x86|aarch64)\.([a-z0-9.]+)"', integer.render(isa))) for isa in isas}
    assert found == {
        "ssse3": {"ssse3.pmadd.ub.sw.128", "sse2.pmadd.wd"},
        "avx2": {"avx2.pmadd.ub.sw", "avx2.pmadd.wd"},
        "avxvnni": {"avx512.vpdpbusd.256"},
        "avx512": {"avx512.pmaddubs.w.512", "avx512.pmaddw.d.512"},
        "avx512vnni": {"avx512.vpdpbusd.512"},
        "neon": set(),
        "dotprod": {"neon.sdot.v4i32.v16i8"},
        "i8mm": {"neon.usdot.v4i32.v16i8"},
    }


def test_a_kernel_is_made_once_for_equal_arguments() -> None:
    """A model has the same ones in each of its layers, and sizes of workgroups are searched for."""
    joined = JoinedMatmul(n=48, k=64, layout="q8_0", activations="int8", suffix="_q")
    makers: tuple[Callable[[int], Kernel], ...] = (
        lambda n: matmul(n, 64, "q8_0", "int8", bias=False, residual=True),
        lambda n: joint_matmul((replace(joined, n=n), joined)),
        lambda n: gated_matmul(n, 64, "q4_1", "q4_1", "silu"),
        lambda n: expert_matmul(4, 2, n, 64, "q8_0", "int8", each_choice=False),
    )
    for make in makers:
        assert make(32) is make(32)
        assert make(32).name != make(64).name
