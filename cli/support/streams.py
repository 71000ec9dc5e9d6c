"""Standard input, output and error, there whatever the parent process left closed."""

import os
import sys


def open_closed_streams() -> None:
    """Put the null device where one of the three is closed, as in `sharkpack ... >&-`.

    Otherwise the next file to be opened would take its number, and messages of native code would end up in that file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), number, inheritable=True)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False))  # noqa: SIM115
