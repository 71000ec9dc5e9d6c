"""The entry point: argv to one command, and every way a command can end to an exit status.

0 done, 2 bad input, 70 a defect in sharkpack, 141 the reader of our output went away; 130 interrupted, 143 terminated,
129 hung up.
"""

import contextlib
import importlib
import os
import sys
from collections.abc import Iterable, Sequence

from sharkpack import __version__
from sharkpack.cli.support.arguments import Parser
from sharkpack.cli.support.signals import ending, stop_on_signals
from sharkpack.cli.support.streams import open_closed_streams
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.io.one_line import printable

COMMANDS = ("build", "run", "inspect", "devices", "eval", "convert", "export", "dump-inputs", "models", "cache")
"""Each is a module of this folder with SUMMARY, DESCRIPTION, EXAMPLES, add_arguments and execute."""

EXAMPLES = """\
examples:
  sharkpack build model.gguf                    pack a model: writes model.shark beside it
  sharkpack run model.shark "Why is sky blue?"  generate text
  sharkpack inspect model.shark                 what a file holds
  sharkpack devices                             what this machine can run on

'sharkpack COMMAND --help' explains a command.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status; prints at most one line on stderr when it fails."""
    # Nothing here multiplies matrices with numpy, whose library would start threads that spin while others work.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    open_closed_streams()
    try:
        with stop_on_signals():
            return _execute(argv)
    except SharkpackError as error:
        return _fail(f"error: {_one_line(str(error))}", 2)
    except KeyboardInterrupt as interrupt:
        return _fail(*ending(interrupt))
    except BrokenPipeError:
        _abandon_output()
        return 141
    except Exception as error:  # the last resort: a defect must not look like the user's fault
        summary = _one_line(f"{type(error).__name__}: {error}")
        return _fail(f"internal error: {summary} (set SHARKPACK_TRACEBACK=1 to see where)", 70)


def build_parser(commands: Iterable[str] = COMMANDS) -> Parser:
    """The command line as argparse sees it, with these of its commands; imports nothing heavy."""
    parser = Parser(
        prog="sharkpack",
        description="Pack a language model into one file, and run it.",
        epilog=EXAMPLES,
    )
    parser.add_argument("--version", action="version", version=f"sharkpack {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in commands:
        command = importlib.import_module(f"sharkpack.cli.{name.replace('-', '_')}")
        subparser = subparsers.add_parser(
            name, help=command.SUMMARY, description=command.DESCRIPTION, epilog=command.EXAMPLES
        )
        command.add_arguments(subparser)
        subparser.set_defaults(execute=command.execute)
    return parser


def _execute(argv: Sequence[str] | None) -> int:
    try:
        words = sys.argv[1:] if argv is None else list(argv)
        # A command starts in half the time without what the others import.
        known = words[:1] if words[:1] and words[0] in COMMANDS else COMMANDS
        arguments = build_parser(known).parse_args(words)
        status: int = arguments.execute(arguments)
    except SystemExit as exit_request:  # --help and --version
        status = exit_request.code if isinstance(exit_request.code, int) else 0
    sys.stdout.flush()
    return status


def _fail(line: str, status: int) -> int:
    if os.environ.get("SHARKPACK_TRACEBACK") == "1":
        import traceback

        traceback.print_exc()
    with contextlib.suppress(OSError):  # a terminal that is gone, or a closed pipe
        print(line, file=sys.stderr)
    return status


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))


def _abandon_output() -> None:
    """Point both outputs at nothing, so that the interpreter's own flush at exit stays quiet."""
    with open(os.devnull, "wb") as nothing:  # noqa: PTH123 - devnull is not a path of ours
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nothing.fileno(), stream.fileno())


if __name__ == "__main__":
    sys.exit(main())
