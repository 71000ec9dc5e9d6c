"""The text that the emitter writes: fresh names, constants once, loops that carry values, what an ISA changes."""

import re

import numpy as np

from sharkpack.templates.kernels.emitter import F32, Emitter
from sharkpack.templates.kernels.isa import PORTABLE, SSSE3


def test_names_are_fresh_and_lines_in_order() -> None:
    e = Emitter(PORTABLE)
    a = e.op("test.one : f32")
    e.do(f"test.use {a}")
    b = e.op("test.two : f32")
    assert (a, b) == ("%v1", "%v2")
    assert e.lines == ["%v1 = test.one : f32", "test.use %v1", "%v2 = test.two : f32"]


def test_a_constant_is_defined_once_a_type() -> None:
    e = Emitter(PORTABLE)
    assert e.index(3) == e.index(3)
    assert (
        len({e.index(3), e.index(4), e.integers(3), e.integers(3, "vector<64xi8>"), e.floats(3.0), e.float(3.0)}) == 6
    )
    assert e.constants["arith.constant 3 : index"] == e.index(3)
    assert e.lines == []


def test_float_constants_keep_every_bit() -> None:
    e = Emitter(PORTABLE)
    for value in (1 / 3, 1e-30, -87.3, 1.0 / 127.0):
        e.float(value)
    literals = [re.findall(r"constant (\S+) : f32", text)[0] for text in e.constants]
    assert [np.float32(text) for text in literals] == [np.float32(v) for v in (1 / 3, 1e-30, -87.3, 1 / 127)]


def test_arithmetic_with_nothing_to_do_writes_nothing() -> None:
    e = Emitter(PORTABLE)
    assert (e.add("%a", 0), e.mul("%a", 1), e.lines) == ("%a", "%a", [])
    assert e.add("%a", 2) == "%v1"
    assert e.mul("%a", "%b") == "%v2"
    assert e.lines == ["%v1 = arith.addi %a, %c0 : index", "%v2 = arith.muli %a, %b : index"]


def test_loads_and_stores_name_the_binding_and_its_type() -> None:
    e = Emitter(PORTABLE)
    e.memrefs["x"] = "memref<?x32xf32>"
    value = e.load("x", ["%i", "%j"], F32)
    e.store(value, "x", ["%i", "%j"], F32)
    e.store_scalar(e.load_scalar("x", ["%i", "%j"]), "x", ["%j", "%i"])
    assert e.lines == [
        "%v1 = vector.load %x[%i, %j] : memref<?x32xf32>, vector<16xf32>",
        "vector.store %v1, %x[%i, %j] : memref<?x32xf32>, vector<16xf32>",
        "%v2 = memref.load %x[%i, %j] : memref<?x32xf32>",
        "memref.store %v2, %x[%j, %i] : memref<?x32xf32>",
    ]


def test_a_loop_carries_values() -> None:
    e = Emitter(PORTABLE)
    found = e.loop("%low", "%high", 4, ["%p", "%q"], "f32", lambda i, carried: [carried[1], e.op(f"test.body {i}")])
    assert found == ["%r1#0", "%r1#1"]
    assert e.lines == [
        "%r1:2 = scf.for %i1 = %low to %high step %c0 iter_args(%a1_0 = %p, %a1_1 = %q) -> (f32, f32) {",
        "%v2 = test.body %i1",
        "scf.yield %a1_1, %v2 : f32, f32",
        "}",
    ]


def test_loops_nest_without_sharing_names() -> None:
    e = Emitter(PORTABLE)
    e.each("%l", "%h", "%s", lambda i: e.each("%l", i, 1, lambda j: e.do(f"test.use {i}, {j}")))
    assert e.lines == [
        "scf.for %i1 = %l to %h step %s {",
        "scf.for %i2 = %l to %i1 step %c0 {",
        "test.use %i1, %i2",
        "}",
        "}",
    ]


def test_fused_multiply_add_only_where_the_hardware_has_it() -> None:
    """Without it the fused form would be a call into a maths library, which a bundle's module does not have."""
    fused, plain = Emitter(PORTABLE), Emitter(SSSE3)
    assert fused.fma("%a", "%b", "%c") == "%v1"
    assert fused.lines == ["%v1 = math.fma %a, %b, %c : vector<16xf32>"]
    assert plain.fma("%a", "%b", "%c") == "%v2"
    assert plain.lines == [
        "%v1 = arith.mulf %a, %b : vector<16xf32>",
        "%v2 = arith.addf %v1, %c : vector<16xf32>",
    ]


def test_reduction_gives_an_element() -> None:
    e = Emitter(PORTABLE)
    e.reduce("add", "%x")
    e.reduce("add", "%x", "vector<16xi32>")
    assert e.lines == [
        "%v1 = vector.reduction <add>, %x : vector<16xf32> into f32",
        "%v2 = vector.reduction <add>, %x : vector<16xi32> into i32",
    ]
