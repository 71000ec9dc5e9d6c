"""A recipe run by torch itself, in float32, over the weights as they would be packed: slow, exact, nothing compiled.

It is called as a compiled program is, so that the runtime's engine can generate with it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from sharkpack.bundler.model_spec.weight_bytes import pieces
from sharkpack.bundler.options import BuildOptions
from sharkpack.bundler.pipeline.describe import describe
from sharkpack.bundler.pipeline.plan import BuildPlan, make_plan
from sharkpack.bundler.pipeline.prepare import prepare
from sharkpack.bundler.progress import Progress
from sharkpack.bundler.quantize import QuantizeOptions
from sharkpack.bundler.sources import SourceDescription, SourceModel
from sharkpack.formats.archive.generate_signature import GenerateSignature, generate_signature
from sharkpack.formats.archive.manifest import Manifest
from sharkpack.formats.errors import SharkpackError
from sharkpack.templates.layers.recipe import CausalModel
from sharkpack.templates.ops.paged_cache import CACHE_DTYPES

SCORED_TOKENS = 64


class ReferenceChunk(Protocol):
    """A sequence's new tokens, the position of the first, and the pages that it has so far."""

    @property
    def tokens(self) -> list[int]: ...
    @property
    def start(self) -> int: ...
    @property
    def pages(self) -> list[int]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A source model ready to run, with what a bundle of it would say of itself and of its texts."""

    program: "ReferenceProgram"
    manifest: Manifest
    tokenizer_json: bytes
    chat_templates: Mapping[str, str]
    threads: int


def open_reference(
    source: str,
    *,
    context: int | None,
    threads: int | None,
    progress: Progress,
    quantize: QuantizeOptions | None = None,
) -> Reference:
    """Read the model that `source` names, weights and all. Raises SharkpackError.

    context, quantize: as of a build. threads: of torch, for the whole process; None leaves it as it is.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    with prepare(source, partial(_plan, context=context), progress, quantize=quantize) as prepared:
        plan = prepared.plan
        model = _runnable(plan)
        with prepared.steps("weights", plan.parameters.total_size) as step:
            for loaded in _load(model, prepared.source):
                step.advance(loaded)
        return Reference(
            program=ReferenceProgram(model, generate_signature(plan.signature)),
            manifest=describe(plan, [], prepared.sha256()),
            tokenizer_json=plan.tokenizer.json,
            chat_templates=plan.tokenizer.chat_templates,
            threads=torch.get_num_threads(),
        )


class ReferenceProgram:
    """The model with its cache, which grows as pages are used."""

    def __init__(self, model: CausalModel, signature: GenerateSignature) -> None:
        self.signature = signature
        self.cache_pages = signature.reserved_pages + signature.max_pages_per_sequence
        self.scored_tokens = SCORED_TOKENS
        self.closed = False
        self._model = model
        self._cache = torch.zeros(0, signature.cache.page_elements, dtype=CACHE_DTYPES[signature.cache.dtype])

    def call(self, entry: Literal["prefill", "decode"], rows: Sequence[ReferenceChunk]) -> NDArray[np.float32]:
        """Compute the rows' new tokens: float32 [len(rows), V], the logits after each row's last."""
        return np.concatenate([self._logits(row, last=True) for row in rows])

    def score(self, row: ReferenceChunk) -> NDArray[np.float32]:
        """Compute the row's new tokens: float32 [len(row.tokens), V], the logits after each."""
        return self._logits(row, last=False)

    def close(self) -> None:
        self.closed = True

    def _logits(self, row: ReferenceChunk, *, last: bool) -> NDArray[np.float32]:
        end = row.start + len(row.tokens)
        self._grow(max(row.pages) + 1)
        tokens, start, length, pages = map(torch.tensor, ([row.tokens], [row.start], [end], [row.pages]))
        with torch.no_grad():
            hidden, self._cache = self._model.hidden(tokens, start, length, pages, self._cache)
            logits: NDArray[np.float32] = self._model.head(self._model.norm(hidden[-1:] if last else hidden)).numpy()
        return logits

    def _grow(self, pages: int) -> None:
        """The operators copy the cache each time, so it has no page before its time."""
        missing = max(0, pages - self._cache.shape[0])
        self._cache = torch.cat([self._cache, self._cache.new_zeros(missing, self._cache.shape[1])])


def _plan(source: SourceDescription, context: int | None) -> BuildPlan:
    """All in float32, but for a program, which says itself what its cache is."""
    options = BuildOptions(source=str(source.path), batch_sizes=(1,), context=context, cache=False)
    exact = replace(options, cache_dtype="f32")
    return make_plan(source, exact if source.program is None else options)


def _runnable(plan: BuildPlan) -> CausalModel:
    if plan.model.make is None:
        path = plan.source.path
        raise SharkpackError(f"{path}: torch cannot run MLIR; build it, and run the bundle: sharkpack build {path}")
    return plan.model.make()


def _load(model: CausalModel, source: SourceModel) -> Iterator[int]:
    """Fill the model's tensors, yielding the size of each piece once it is there. A program's are there already."""
    if source.program is not None:
        return
    buffers = {name: tensor.detach() for name, tensor in model.state_dict(keep_vars=True).items()}
    for name, weight in model.weights.items():
        filled, at = buffers[name].view(-1).view(torch.int8), 0
        for piece in pieces(weight, source):
            filled[at : at + piece.nbytes] = torch.from_numpy(piece.view(np.int8).copy())
            at += piece.nbytes
            yield piece.nbytes
