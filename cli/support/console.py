"""Output: results on stdout, everything else on stderr, numbers in units that people read."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.io.one_line import printable


def write_text(text: str) -> None:
    """Write `text` to stdout at once, as UTF-8 whatever the locale says; a full disk is a SharkpackError."""
    try:
        buffer = getattr(sys.stdout, "buffer", None)
        if buffer is None:  # a replaced stdout, such as io.StringIO
            sys.stdout.write(text)
        else:
            sys.stdout.flush()
            buffer.write(text.encode("utf-8", errors="replace"))
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise SharkpackError(f"cannot write to standard output: {error.strerror}") from error


def write_json(value: Mapping[str, Any]) -> None:
    """Write one JSON object to stdout: indented on a terminal, else on one line."""
    write_text(json.dumps(value, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None) + "\n")


def write_note(line: str) -> None:
    """Write one line about the work, not its result, to stderr."""
    print(line, file=sys.stderr, flush=True)


def write_table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, numeric: Iterable[str] = ()) -> None:
    """Write rows as aligned columns to stdout; columns named in `numeric` are aligned to the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    right = set(numeric)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, justify="right" if heading in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    # Away from a terminal nothing is folded: a script that reads a column wants whole values.
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 100_000)
    with console.capture() as captured:
        console.print(table)
    write_text("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def format_bytes(count: int) -> str:
    """A byte count in decimal units with three significant digits: 98.3 MB."""
    if count < 1000:
        return f"{count} B"
    size = float(count)
    for unit in ("kB", "MB", "GB", "TB"):
        size /= 1000
        if size < 999.5 or unit == "TB":
            break
    return f"{size:.3g} {unit}" if size < 999.5 else f"{size:.0f} {unit}"


def format_count(count: int) -> str:
    """A count of things, such as parameters, in short: 134.5 M."""
    size = float(count)
    for unit in ("", " K", " M", " B"):
        if size < 999.95 or unit == " B":
            return f"{size:.0f}" if not unit else f"{size:.1f}{unit}"
        size /= 1000
    raise AssertionError("unreachable")


def format_seconds(seconds: float) -> str:
    """A duration: 0.4 ms, 12 ms, 3.4 s, 2 min 05 s."""
    if seconds < 0.01:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"
