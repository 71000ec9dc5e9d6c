"""The toy's code: prefill and decode in MLIR, compiled once. What they compute is in toy_language."""

from functools import cache
from string import Template

import iree.compiler as compiler

from tests.runtime_shim.toy_language import BATCH_SIZES, PAGE_SIZE, VOCABULARY

FLAGS = (
    "--iree-hal-target-device=local",
    "--iree-hal-local-target-device-backends=llvm-cpu",
    "--iree-llvmcpu-target-cpu=generic",
    "--iree-llvmcpu-debug-symbols=false",
    "--iree-vm-emit-polyglot-zip=false",
)

_ENTRY = Template("""
func.func @${name}_bs$N(%tokens: tensor<${N}x${S}xi64>, $order, %pages: tensor<${N}x?xi64>, %cache: tensor<?x${E}xf32>)
    -> (tensor<${N}x${V}xf32>, tensor<?x${E}xf32>${hidden_type}) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %page_size = arith.constant $page_size : index
  %page_size_i = arith.constant $page_size : i64
  %zero = arith.constant 0 : i64
  %S = tensor.dim %tokens, %c1 : tensor<${N}x${S}xi64>
  %P = tensor.dim %pages, %c1 : tensor<${N}x?xi64>
  %where_empty = tensor.empty($dynamic) : tensor<${N}x${S}x2xi32>
  %where = linalg.generic {
    indexing_maps = [affine_map<(n,s,c) -> (n)>, affine_map<(n,s,c) -> (n)>, affine_map<(n,s,c) -> (n,s,c)>],
    iterator_types = ["parallel", "parallel", "parallel"]
  } ins(%start, %lens : tensor<${N}xi64>, tensor<${N}xi64>) outs(%where_empty : tensor<${N}x${S}x2xi32>) {
  ^bb0(%first: i64, %length: i64, %o: i32):
    %n = linalg.index 0 : index
    %s = linalg.index 1 : index
    %c = linalg.index 2 : index
    %si = arith.index_cast %s : index to i64
    %position = arith.addi %first, %si : i64
    %valid = arith.cmpi slt, %position, %length : i64
    %safe = arith.select %valid, %position, %zero : i64
    %block = arith.divui %safe, %page_size_i : i64
    %slot = arith.remui %safe, %page_size_i : i64
    %bi = arith.index_cast %block : i64 to index
    %page = tensor.extract %pages[%n, %bi] : tensor<${N}x?xi64>
    %valid_page = arith.select %valid, %page, %zero : i64
    %is_page = arith.cmpi eq, %c, %c0 : index
    %r = arith.select %is_page, %valid_page, %slot : i64
    %r32 = arith.trunci %r : i64 to i32
    linalg.yield %r32 : i32
  } -> tensor<${N}x${S}x2xi32>
  %updates_empty = tensor.empty($dynamic) : tensor<${N}x${S}xf32>
  %updates = linalg.generic {
    indexing_maps = [affine_map<(n,s) -> (n,s)>, affine_map<(n,s) -> (n,s)>], iterator_types = ["parallel", "parallel"]
  } ins(%tokens : tensor<${N}x${S}xi64>) outs(%updates_empty : tensor<${N}x${S}xf32>) {
  ^bb0(%t: i64, %o: f32):
    %f = arith.sitofp %t : i64 to f32
    linalg.yield %f : f32
  } -> tensor<${N}x${S}xf32>
  %written = iree_linalg_ext.scatter dimension_map = [0, 1] unique_indices(false)
      ins(%updates, %where : tensor<${N}x${S}xf32>, tensor<${N}x${S}x2xi32>) outs(%cache : tensor<?x${E}xf32>) {
  ^bb0(%u: f32, %o: f32):
    iree_linalg_ext.yield %u : f32
  } -> tensor<?x${E}xf32>
  %T = arith.muli %P, %page_size : index
  %N = arith.constant $N : index
  %R = arith.muli %S, %N : index
  %span = tensor.empty(%T) : tensor<?xi1>
  %sums_empty = tensor.empty(%R) : tensor<?xi64>
  %sums_zero = linalg.fill ins(%zero : i64) outs(%sums_empty : tensor<?xi64>) -> tensor<?xi64>
  %hidden = linalg.generic {
    indexing_maps = [affine_map<(r,p) -> (p)>, affine_map<(r,p) -> (r)>], iterator_types = ["parallel", "reduction"]
  } ins(%span : tensor<?xi1>) outs(%sums_zero : tensor<?xi64>) {
  ^bb0(%x: i1, %acc: i64):
    %r = linalg.index 0 : index
    %p = linalg.index 1 : index
    %n = arith.divui %r, %S : index
    %s = arith.remui %r, %S : index
    %pi = arith.index_cast %p : index to i64
    %si = arith.index_cast %s : index to i64
    %first = tensor.extract %start[%n] : tensor<${N}xi64>
    %length = tensor.extract %lens[%n] : tensor<${N}xi64>
    %position = arith.addi %first, %si : i64
    %seen = arith.cmpi sle, %pi, %position : i64
    %computed = arith.cmpi slt, %pi, %length : i64
    %valid = arith.andi %seen, %computed : i1
    %block = arith.divui %p, %page_size : index
    %slot = arith.remui %p, %page_size : index
    %page = tensor.extract %pages[%n, %block] : tensor<${N}x?xi64>
    %row = arith.index_cast %page : i64 to index
    %cell = tensor.extract %written[%row, %slot] : tensor<?x${E}xf32>
    %t = arith.fptosi %cell : f32 to i64
    %one = arith.constant 1 : i64
    %weight = arith.addi %pi, %one : i64
    %product = arith.muli %t, %weight : i64
    %valid_product = arith.select %valid, %product, %zero : i64
    %next = arith.addi %acc, %valid_product : i64
    linalg.yield %next : i64
  } -> tensor<?xi64>
  %last_empty = tensor.empty(%N) : tensor<?xi64>
  %last = linalg.generic {
    indexing_maps = [affine_map<(n) -> (n)>], iterator_types = ["parallel"]
  } outs(%last_empty : tensor<?xi64>) {
  ^bb0(%o: i64):
    %n = linalg.index 0 : index
    %first = tensor.extract %start[%n] : tensor<${N}xi64>
    %length = tensor.extract %lens[%n] : tensor<${N}xi64>
    %new = arith.subi %length, %first : i64
    %count = arith.index_cast %new : i64 to index
    %before = arith.muli %n, %S : index
    %end = arith.addi %before, %count : index
    %at = arith.subi %end, %c1 : index
    %h = tensor.extract %hidden[%at] : tensor<?xi64>
    linalg.yield %h : i64
  } -> tensor<?xi64>
  %all = func.call @head(%last) : (tensor<?xi64>) -> tensor<?x${V}xf32>
  %logits = tensor.cast %all : tensor<?x${V}xf32> to tensor<${N}x${V}xf32>
  return %logits, %written${hidden} : tensor<${N}x${V}xf32>, tensor<?x${E}xf32>$hidden_type
}
""")

_HEAD = Template("""
func.func @head(%hidden: tensor<?xi64>) -> tensor<?x${V}xf32> {
  %c0 = arith.constant 0 : index
  %R = tensor.dim %hidden, %c0 : tensor<?xi64>
  %table = util.global.load @table : tensor<${V}xi32>
  %logits_empty = tensor.empty(%R) : tensor<?x${V}xf32>
  %logits = linalg.generic {
    indexing_maps = [affine_map<(n,v) -> (n)>, affine_map<(n,v) -> (n,v)>], iterator_types = ["parallel", "parallel"]
  } ins(%hidden : tensor<?xi64>) outs(%logits_empty : tensor<?x${V}xf32>) {
  ^bb0(%h: i64, %o: f32):
    %v = linalg.index 1 : index
    %vi = arith.index_cast %v : index to i32
    %V = arith.constant $V : i64
    %hm = arith.remui %h, %V : i64
    %hi = arith.index_cast %hm : i64 to index
    %best = tensor.extract %table[%hi] : tensor<${V}xi32>
    %same = arith.cmpi eq, %best, %vi : i32
    %high = arith.constant 10.0 : f32
    %low = arith.constant 0.0 : f32
    %r = arith.select %same, %high, %low : f32
    linalg.yield %r : f32
  } -> tensor<?x${V}xf32>
  return %logits : tensor<?x${V}xf32>
}
""")


@cache
def compile_toy(*, ballast: int = 0) -> bytes:
    """The toy's vmfb: code for any CPU of this machine's architecture. It reads `ballast` bytes of weights, if any."""
    entries = [_entry(name, size) for size in BATCH_SIZES for name in ("prefill", "decode")]
    table = f'util.global private @table = #flow.parameter.named<"model"::"table"> : tensor<{VOCABULARY}xi32>'
    source = "\n".join(["module @module {", table, *_ballast(ballast), *entries, _HEAD.substitute(V=VOCABULARY), "}"])
    code: bytes = compiler.compile_str(source, extra_args=list(FLAGS))
    return code


def _ballast(size: int) -> list[str]:
    """A parameter of `size` bytes and a function that reads it, so that the compiler keeps it."""
    if not size:
        return []
    return [
        f'util.global private @ballast = #flow.parameter.named<"model"::"ballast"> : tensor<{size}xi8>',
        "func.func @peek(%i: tensor<1xi32>) -> tensor<1xi8> {",
        f"  %ballast = util.global.load @ballast : tensor<{size}xi8>",
        "  %empty = tensor.empty() : tensor<1xi8>",
        "  %r = linalg.generic {",
        '    indexing_maps = [affine_map<(n) -> (n)>, affine_map<(n) -> (n)>], iterator_types = ["parallel"]',
        "  } ins(%i : tensor<1xi32>) outs(%empty : tensor<1xi8>) {",
        "  ^bb0(%x: i32, %o: i8):",
        "    %at = arith.index_cast %x : i32 to index",
        f"    %byte = tensor.extract %ballast[%at] : tensor<{size}xi8>",
        "    linalg.yield %byte : i8",
        "  } -> tensor<1xi8>",
        "  return %r : tensor<1xi8>",
        "}",
    ]


def _entry(name: str, batch: int) -> str:
    start, lengths = f"%start: tensor<{batch}xi64>", f"%lens: tensor<{batch}xi64>"
    prefill = name == "prefill"
    return _ENTRY.substitute(
        name=name,
        N=batch,
        S="?" if prefill else "1",
        dynamic="%S" if prefill else "",
        order=f"{start}, {lengths}" if prefill else f"{lengths}, {start}",
        hidden=", %hidden" if prefill else "",
        hidden_type=", tensor<?xi64>" if prefill else "",
        V=VOCABULARY,
        E=2 * PAGE_SIZE,
        page_size=PAGE_SIZE,
    )
