"""The change of a text's perplexity by a quantisation: the recipe in float32, over both kinds of weights."""

from dataclasses import dataclass
from typing import Any

from sharkpack.bundler.quantize import QuantizeOptions
from sharkpack.cli.support.progress import show_progress
from sharkpack.cli.support.reference import reference_engine
from sharkpack.runtime_shim.tools.perplexity import Evaluation, evaluate, plan_evaluation

WINDOW = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class PerplexityChange:
    """The same text, by the weights as they were and as they are stored now."""

    before: Evaluation
    after: Evaluation

    def to_json(self) -> dict[str, Any]:
        return {
            "before": self.before.perplexity,
            "after": self.after.perplexity,
            "tokens": self.after.tokens,
            "window": self.after.context,
        }

    def __str__(self) -> str:
        before, after = self.before.perplexity, self.after.perplexity
        return f"perplexity {before:.4f} -> {after:.4f} ({after / before - 1:+.2%}) over {self.after.tokens} tokens"


def measure_perplexity_change(source: str, quantize: QuantizeOptions, text: str, *, quiet: bool) -> PerplexityChange:
    """Evaluate `text` in windows of at most 512 tokens. Raises SharkpackError where there is nothing to score."""
    return PerplexityChange(
        before=_evaluate(source, None, text, quiet=quiet), after=_evaluate(source, quantize, text, quiet=quiet)
    )


def _evaluate(source: str, quantize: QuantizeOptions | None, text: str, *, quiet: bool) -> Evaluation:
    with reference_engine(source, context=None, threads=None, quantize=quantize, quiet=quiet) as engine:
        plan = plan_evaluation(engine, text, context=min(WINDOW, engine.info.context_length), stride=None)
        with show_progress(quiet=quiet) as progress, progress.step("text", plan.tokens) as step:
            done = 0
            for evaluation in evaluate(engine, plan):
                step.advance(evaluation.tokens - done)
                done = evaluation.tokens
    return evaluation
