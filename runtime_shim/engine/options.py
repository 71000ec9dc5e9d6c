"""Options of an answer: those that `generate` and what calls it take."""

from collections.abc import Sequence

from sharkpack.runtime_shim.engine.sampling import Sampling
from sharkpack.runtime_shim.text.prompt import PromptOptions

GREEDY = Sampling()


class Options(PromptOptions, total=False):
    """Keyword arguments of `Engine.generate`, which says what each means."""

    max_tokens: int
    sampling: Sampling
    stop: str | Sequence[str]
