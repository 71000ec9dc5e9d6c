"""The frame of every command here: errors as one line, and nothing left running."""

import os
import signal
import sys
from collections.abc import Callable

from benchmarks.processes import BenchmarkError
from sharkpack.formats.errors import SharkpackError


def run_command(main: Callable[[list[str]], int]) -> int:
    """The status of `main`, given the command line's words; 2 for what a user can put right, 130 for Ctrl-C and for
    SIGTERM, 141 where nobody reads on."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started has to end either way
    try:
        status = main(sys.argv[1:])
        sys.stdout.flush()
        return status
    except (BenchmarkError, SharkpackError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes it once more
        return 141
    except OSError as error:
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
