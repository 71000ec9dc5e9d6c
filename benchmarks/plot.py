"""A result as a picture. Needs matplotlib, which nothing else here does."""

import importlib
import importlib.util
from pathlib import Path
from typing import Any

from benchmarks.result import Result
from benchmarks.samples import Comparison


def can_plot() -> bool:
    """Returns whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def write_plot(result: Result, path: Path) -> None:
    """Speed ratios as bars, a panel for each thread count, 1.0 marked."""
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot: Any = importlib.import_module("matplotlib.pyplot")

    speeds = [found for found in result.comparisons if found.metric.name == "speed"]
    threads = sorted({found.threads for found in speeds})
    figure, panels = pyplot.subplots(len(threads) or 1, 1, figsize=(10, 4 * (len(threads) or 1)), squeeze=False)
    for panel, count in zip(panels[:, 0], threads, strict=False):
        _draw(panel, [found for found in speeds if found.threads == count])
        panel.set_title(f"{count} thread{'s' * (count > 1)}: speed, llama.cpp = 1")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _draw(panel: Any, speeds: list[Comparison]) -> None:
    models = list(dict.fromkeys(found.model for found in speeds))
    tasks = list(dict.fromkeys(found.task for found in speeds))
    width = 0.8 / max(1, len(models))
    for index, model in enumerate(models):
        mine = {found.task: found.ratio for found in speeds if found.model == model}
        places = [tasks.index(task) + (index - (len(models) - 1) / 2) * width for task in mine]
        panel.bar(places, list(mine.values()), width, label=model)
    panel.axhline(1.0, color="black", linewidth=1)
    panel.set_xticks(range(len(tasks)), tasks)
    panel.legend(fontsize="small")
