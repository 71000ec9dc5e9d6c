"""The argument parser that fails with one line, and the types of argument that commands share."""

import argparse
from typing import Any, NoReturn

from sharkpack.formats.errors import SharkpackError


class Parser(argparse.ArgumentParser):
    """argparse with whole option names only, examples kept as written, and errors raised as SharkpackError."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        raise SharkpackError(f"{message} (see '{self.prog} --help')")


def positive_integer(text: str) -> int:
    """`text` as a whole number above zero."""
    value = _integer(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not above zero")
    return value


def natural_number(text: str) -> int:
    """`text` as a whole number, zero or above."""
    value = _integer(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is below zero")
    return value


def batch_sizes(text: str) -> tuple[int, ...]:
    """`text` such as "1,4" as ascending, distinct batch sizes."""
    sizes = tuple(positive_integer(part.strip()) for part in text.split(","))
    if len(set(sizes)) != len(sizes):
        raise argparse.ArgumentTypeError(f"{text!r} names a batch size twice")
    return tuple(sorted(sizes))


def seed(text: str) -> int:
    """`text` as a seed: a whole number from 0 to 2**64 - 1."""
    value = _integer(text)
    if not 0 <= value < 2**64:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 0 and 2**64 - 1")
    return value


def finite_number(text: str) -> float:
    """`text` as a finite floating-point number; which range makes sense is for the receiver to say."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if value != value or value in (float("inf"), float("-inf")):
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number")
    return value


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
