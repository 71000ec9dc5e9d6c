"""Command lines of IREE's own tools for files that sharkpack writes. Runs nothing."""

import shlex
from collections.abc import Iterable, Mapping, Sequence

DEVICES = {"local": "local-task"}
"""What iree-run-module calls the device of a driver, where that is not the driver's own name."""


def compile_command(program: str, module: str, flags: Iterable[str]) -> list[str]:
    """Compile the MLIR file `program` to the file `module`."""
    return ["iree-compile", *flags, program, "-o", module]


def run_command(
    module: str,
    parameters: Mapping[str, str],
    driver: str,
    function: str,
    inputs: Sequence[str],
    *,
    outputs: Sequence[str] = (),
    expected: Sequence[str] = (),
) -> list[str]:
    """Call `function` on .npy files or values such as "2x64xf16=0", with parameter files by scope.

    outputs: files to write its results to; expected: files to compare them with, of which the tool tells the result.
    """
    return [
        "iree-run-module",
        f"--module={module}",
        *(f"--parameters={scope}={path}" for scope, path in parameters.items()),
        f"--device={DEVICES.get(driver, driver)}",
        f"--function={function}",
        *(f"--input={_file(each)}" for each in inputs),
        *(f"--output={_file(each)}" for each in outputs),
        *(f"--expected_output={_file(each)}" for each in expected),
    ]


def script(steps: Iterable[tuple[str, Sequence[str]]]) -> str:
    """A shell script that runs commands in its own folder, each under a comment, an option a line."""
    lines = ["#!/bin/sh", "set -eu", 'cd "$(dirname "$0")"']
    for comment, command in steps:
        lines += ["", f"# {comment}", " \\\n  ".join(map(shlex.quote, command))]
    return "\n".join(lines) + "\n"


def _file(value: str) -> str:
    return f"@{value}" if value.endswith(".npy") else value
