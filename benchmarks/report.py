"""A result as tables for a terminal, and as Markdown. Decides how numbers look, computes none."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from benchmarks.result import Fraction, Result, fractions
from benchmarks.samples import BUSY_SHARE, Comparison

COLUMNS = ("model", "threads", "task", "ratio", "sharkpack", "llama.cpp", "unit", "others")

Row = tuple[str, ...]


def comparison_row(found: Comparison) -> Row:
    """The ratio first; both medians; how busy the rest of the machine was, marked where it was very."""
    unit = f"{found.metric.unit}, {'more' if found.metric.higher_is_better else 'less'} is better"
    task = found.task if found.metric.name in ("speed", "first token") else f"{found.task}: {found.metric.name}"
    others = f"{found.others_share:.0%}" + ("!" if found.others_share > BUSY_SHARE else "")
    numbers = (f"{found.ratio:.2f}", number(found.ours), number(found.theirs))
    return (found.model, str(found.threads), task, *numbers, unit, others)


def fraction_row(found: Fraction) -> Row:
    """Model, threads, task, what of, percent, reached, possible (both in thousand millions a second)."""
    amounts = (f"{found.value:.0%}", f"{found.reached / 1e9:.1f}", f"{found.possible / 1e9:.1f}")
    unit = "GB/s" if found.what == "bandwidth" else "GMAC/s"
    return (found.model, str(found.threads), found.task, *amounts, unit)


def number(value: float) -> str:
    """Three digits or so."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def print_result(result: Result, console: Console) -> None:
    """Both tables, and what the reader has to know of the machine."""
    comparisons = result.comparisons
    table = Table(*COLUMNS, title="sharkpack beside llama.cpp (= 1.0), medians")
    for found in comparisons:
        table.add_row(*comparison_row(found), style="" if found.is_better else "yellow")
    console.print(table)
    parts = Table("model", "threads", "task", "of peak", "reached", "possible", "unit", title="of what the machine can")
    for part in fractions(result):
        parts.add_row(*fraction_row(part))
    console.print(parts)
    console.print(summary(result))


def summary(result: Result) -> str:
    """One paragraph: machine, versions, duration."""
    machine = result.machine
    peaks = "; ".join(
        f"{threads} thread{'s' * (threads > 1)}: {result.macs(threads) / 1e9:.0f} GMAC/s of int8"
        for threads in sorted({peak.threads for peak in result.peaks})
    )
    return (
        f"{machine.date}, {machine.cpu}, {machine.cores} cores, {machine.memory / 2**30:.0f} GiB, {machine.system}; "
        f"sharkpack {machine.versions['sharkpack']} at {machine.commit}, IREE {machine.versions['iree-base-runtime']}; "
        f"llama.cpp {result.llama_cpp['version']} ({result.llama_cpp['note']}); {peaks}; {result.seconds:.0f} s in all"
    )


def markdown(result: Result) -> str:
    """Both tables and the summary, for a page."""
    comparisons = [comparison_row(found) for found in result.comparisons]
    parts = [fraction_row(found) for found in fractions(result)]
    heads = ("model", "threads", "task", "of peak", "reached", "possible", "unit")
    return f"{_table(COLUMNS, comparisons)}\n\n{_table(heads, parts)}\n\n{summary(result)}\n"


def _table(heads: Row, rows: Iterable[Row]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
