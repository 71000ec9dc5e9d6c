"""The options of a build, which `build` and `export` share."""

import argparse
from typing import TYPE_CHECKING

from sharkpack.cli.support.arguments import batch_sizes, positive_integer
from sharkpack.cli.support.quantization import add_quantization_arguments, read_quantize_options

if TYPE_CHECKING:
    from sharkpack.bundler.options import BuildOptions


def add_program_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what makes a program what it is."""
    parser.add_argument(
        "--target",
        metavar="NAME",
        action="append",
        help="what to compile for: host (this machine, the default), x86-64-v2, x86-64-v3, x86-64-v3-vnni, x86-64-v4, "
        "x86-64-v4-vnni, aarch64, aarch64-dotprod, aarch64-i8mm, or, without kernels and slow, generic-x86-64 or "
        "generic-aarch64; repeat for several",
    )
    parser.add_argument(
        "--batch-sizes",
        metavar="N,...",
        type=batch_sizes,
        help="numbers of sequences computed at once (default: 1,4, or those that a program.mlir has)",
    )
    parser.add_argument(
        "--context",
        metavar="TOKENS",
        type=positive_integer,
        help="longest sequence (default: 2048, or less if the model was trained on less)",
    )
    parser.add_argument(
        "--page-size", metavar="TOKENS", type=positive_integer, help="tokens a cache page (default: 32)"
    )
    parser.add_argument(
        "--cache-dtype",
        choices=("f16", "f32", "i8"),
        help="type of the cache; i8 is 8-bit codes with their scales, little more than half of f16 (default: f16)",
    )
    parser.add_argument(
        "--activations",
        choices=("int8", "float32"),
        help="int8: fast; float32: exact matmuls with the quantised weights (default: int8)",
    )
    add_quantization_arguments(parser)


def add_report_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare how it is made and reported on."""
    parser.add_argument("--no-cache", action="store_true", help="compile even what 'sharkpack cache' has; keep nothing")
    parser.add_argument("--quiet", action="store_true", help="no progress, no table")
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")


def read_options(arguments: argparse.Namespace) -> "BuildOptions":
    """Returns the options of a build that the command line gives."""
    from sharkpack.bundler.options import BuildOptions

    return BuildOptions(
        source=arguments.source,
        output=arguments.output,
        targets=tuple(arguments.target or ("host",)),
        batch_sizes=arguments.batch_sizes,
        context=arguments.context,
        page_size=arguments.page_size,
        cache_dtype=arguments.cache_dtype,
        activations=arguments.activations,
        force=arguments.force,
        cache=not arguments.no_cache,
        quantize=read_quantize_options(arguments),
    )
