"""Streams of weights: which loads prefetch, and that a compiled kernel keeps their order."""

import re
from pathlib import Path

import iree.compiler as compiler

from sharkpack.templates.kernels.emitter import Emitter
from sharkpack.templates.kernels.isa import AVX512_VNNI, PORTABLE, Isa
from sharkpack.templates.kernels.kernel import Kernel
from sharkpack.templates.kernels.matmul import matmul
from sharkpack.templates.kernels.streams import Stream
from tests.templates.kernel_runner import FLAGS, module_text


def _emitter(isa: Isa = PORTABLE) -> Emitter:
    e = Emitter(isa)
    e.memrefs["w"] = "memref<4096xi8>"
    return e


def _kinds(e: Emitter) -> list[str]:
    """The operations that touch memory, and what keeps their order."""
    return [found[0] for line in e.lines if (found := re.findall(r"memref.prefetch|vector.load|llvm.inline_asm", line))]


def test_the_load_of_a_line_s_first_byte_prefetches_before_it_loads() -> None:
    e = _emitter()
    stream = Stream("w", "%at", prefetched="%at")
    for offset, nbytes in ((0, 8), (8, 56), (64, 32), (96, 64)):
        stream.load(e, offset, nbytes)
    asks, plain = ["memref.prefetch", "vector.load", "llvm.inline_asm"], ["vector.load"]
    assert _kinds(e) == [*asks, *plain, *asks, *asks]


def test_a_stream_that_does_not_ask_only_loads() -> None:
    e = _emitter()
    Stream("w", "%at").load(e, 0, 64)
    assert _kinds(e) == ["vector.load"]


def test_what_is_asked_for_moves_with_the_stream() -> None:
    e = _emitter()
    moved = Stream("w", "%at", prefetched="%ahead").after(e, 64)
    assert (moved.at, moved.prefetched) == ("%v1", "%v2")
    assert [line.split(" = ")[1].split(",")[0] for line in e.lines] == ["arith.addi %at", "arith.addi %ahead"]


def test_only_the_first_of_many_tokens_prefetches_and_once() -> None:
    e = _emitter(AVX512_VNNI)
    Stream("w", "%at").prefetch_once(e, range(3), "%token")
    assert "arith.cmpi eq, %token, %origin" in e.lines[0]
    assert _kinds(e) == ["memref.prefetch"] * 3
    assert _touches(AVX512_VNNI) > 1


def _touches(isa: Isa) -> int:
    """The number of prefetches of each line by a single token's matmuls."""
    return len(isa.prefetch_l2) + len(isa.prefetch_l1)


def test_what_is_far_is_asked_into_the_second_level_cache_and_what_is_near_into_the_first() -> None:
    e = _emitter(AVX512_VNNI)
    Stream("w", "%at", prefetched="%at").load(e, 0, 64)
    levels = [found[0] for line in e.lines if (found := re.findall(r"locality<\d>", line))]
    assert levels == ["locality<2>", "locality<3>", "locality<3>"]
    assert min(AVX512_VNNI.prefetch_l2) > max(AVX512_VNNI.prefetch_l1)


def _assembly(kernel: Kernel, folder: Path) -> list[str]:
    """The instructions that LLVM makes of a kernel for AVX-512 VNNI, on any machine."""
    flags = [*FLAGS[AVX512_VNNI.name], f"--iree-hal-dump-executable-intermediates-to={folder}"]
    compiler.compile_str(module_text([kernel], AVX512_VNNI), extra_args=flags)
    (found,) = folder.glob("*.s")
    return [line.strip() for line in found.read_text().splitlines() if line.startswith("\t")]


def test_the_compiler_leaves_each_load_behind_its_prefetch(tmp_path: Path) -> None:
    """The loop of one token has 34 lines; were their loads moved before all prefetches, long runs of those would stand
    behind them."""
    lines = _assembly(matmul(32, 896, "q8_0", "int8", bias=False, residual=False), tmp_path)
    runs = "".join("p" if line.startswith("prefetch") else "l" if "(%r" in line else "" for line in lines)
    longest = max(len(run) for run in re.findall("p+", runs))
    touches = _touches(AVX512_VNNI)
    single = re.findall(f"p{{{touches}}}l+", runs)
    assert len(single) >= 34
    assert {"prefetcht0", "prefetcht1"} <= {line.split()[0] for line in lines}
    # Of several tokens, the first asks for a block's lines at once.
    assert longest <= 9 * touches


def test_the_activations_of_several_tokens_are_loaded_once_for_two_tiles(tmp_path: Path) -> None:
    """The matmuls of a single token have a load each; there are few of those."""
    lines = _assembly(matmul(32, 896, "q8_0", "int8", bias=False, residual=False), tmp_path)
    dots = [line for line in lines if line.startswith("vpdpbusd")]
    loads = [line for line in dots if "{1to16}" in line]
    loads += [line for line in lines if line.startswith("vpbroadcastd") and "(%r" in line]
    assert len(dots) >= 2 * 8 * (8 + 4)
    assert len(loads) < 0.6 * len(dots)


def test_nibbles_are_not_shifted_where_scales_can_do_it(tmp_path: Path) -> None:
    """The instructions that shift words, of which bytes' shifts are made, would be four for each block of a tile."""
    lines = _assembly(matmul(32, 896, "q4_1", "int8", bias=False, residual=False), tmp_path)
    assert sum(line.startswith("vpdpbusd") for line in lines) > 100
    assert not any(line.startswith("vpsrlw") for line in lines)


def test_a_kernel_that_reads_more_than_a_cache_holds_writes_past_it(tmp_path: Path) -> None:
    large, small = tmp_path / "large", tmp_path / "small"
    assert any(
        "vmovntps" in line for line in _assembly(matmul(2432, 896, "q8_0", "int8", bias=False, residual=True), large)
    )
    assert not any(
        "vmovnt" in line for line in _assembly(matmul(896, 896, "q8_0", "int8", bias=False, residual=True), small)
    )
