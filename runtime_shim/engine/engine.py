"""The embedding API: a bundle, opened on this machine, that turns prompts into text."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from sharkpack.runtime_shim.bundle.bundle import Bundle
from sharkpack.runtime_shim.checks import texts, whole_number
from sharkpack.runtime_shim.device.forking import check_process, is_forked
from sharkpack.runtime_shim.device.hal import choose_device, open_device
from sharkpack.runtime_shim.engine.generation import Completion, Generation
from sharkpack.runtime_shim.engine.limits import chunk_length, context_length, page_count
from sharkpack.runtime_shim.engine.pages import PagePool
from sharkpack.runtime_shim.engine.sampling import Sampling
from sharkpack.runtime_shim.engine.scheduler import Scheduler
from sharkpack.runtime_shim.engine.scores import Scores, score_tokens
from sharkpack.runtime_shim.engine.sequence import Request, TokenSequence
from sharkpack.runtime_shim.errors import EngineClosedError, RequestError
from sharkpack.runtime_shim.executor.compiled import CompiledExecutor
from sharkpack.runtime_shim.executor.protocol import Executor, Logits
from sharkpack.runtime_shim.text.detokenizer import Vocabulary
from sharkpack.runtime_shim.text.prompt import Prompt, check_ids, check_length, encode_prompt
from sharkpack.runtime_shim.text.transcript import Transcript

GREEDY = Sampling()


class Engine:
    """A loaded model with its cache and what it is generating.

    One call of the executor happens at a time; generations may be read from several threads.
    """

    def __init__(self, bundle: Bundle, executor: Executor, *, context_length: int, prefill_chunk: int) -> None:
        self.bundle = bundle
        self.context_length = context_length
        self.load_ms = 0.0
        self.target_id = ""
        self.device_uri = ""
        self.threads = 1
        self._executor = executor
        self._pool = PagePool(executor.cache_pages, reserved=executor.signature.reserved_pages)
        self._scheduler = Scheduler(executor, self._pool, context_length=context_length, prefill_chunk=prefill_chunk)
        self._vocabulary: Vocabulary | None = None
        self._lock = threading.RLock()
        self._owns_bundle = False

    @classmethod
    def open(
        cls,
        path: str | Path | Bundle,
        *,
        device: str = "auto",
        target: str | None = None,
        threads: int | None = None,
        context: int | None = None,
        cache_pages: int | None = None,
        prefill_chunk: int = 512,
    ) -> Self:
        """Open a bundle (or take an open one) on a device of this machine.

        context: tokens a sequence may have, at most what the bundle was built for. cache_pages: pages that all
        sequences share. prefill_chunk: prompt tokens a call computes at most. Raises SharkpackError.
        """
        started = time.perf_counter()
        bundle = path if isinstance(path, Bundle) else Bundle.open(path)
        try:
            engine = cls._load(bundle, device, target, threads, context, cache_pages, prefill_chunk)
        except BaseException:
            if bundle is not path:
                bundle.close()
            raise
        engine._owns_bundle = bundle is not path
        engine.load_ms = (time.perf_counter() - started) * 1e3
        return engine

    @classmethod
    def _load(
        cls,
        bundle: Bundle,
        device: str,
        target: str | None,
        threads: int | None,
        context: int | None,
        cache_pages: int | None,
        prefill_chunk: int,
    ) -> Self:
        signature = bundle.manifest.signature
        selection = bundle.select(device=device, target=target)
        uri, count = choose_device(selection, threads, explicit=device != "auto")
        length = context_length(signature, context)
        pages, chunk = page_count(signature, length, cache_pages), chunk_length(length, prefill_chunk)
        hal_device = open_device(uri, count)
        executor = CompiledExecutor(
            bundle.archive, selection.target, hal_device, cache_pages=pages, prefill_chunk=chunk
        )
        engine = cls(bundle, executor, context_length=length, prefill_chunk=chunk)
        engine.target_id, engine.device_uri, engine.threads = selection.target.id, uri, count
        return engine

    def generate(
        self,
        prompt: Prompt,
        *,
        max_tokens: int = 256,
        sampling: Sampling = GREEDY,
        stop: Sequence[str] = (),
        raw: bool = False,
    ) -> Generation:
        """Begin an answer to text, messages or token ids; iterate over it for text, or take its `.result`.

        Text goes through the bundle's chat template unless `raw`. Several may be under way: they compute together.
        Raises SharkpackError for an empty prompt, one longer than the context, and ids outside the vocabulary.
        """
        started = time.perf_counter()
        if not isinstance(sampling, Sampling):
            raise RequestError(f"sampling is {sampling!r}: expected a Sampling")
        max_tokens = whole_number("max-tokens", max_tokens, least=1)
        self._check_usable()
        transcript = self._transcript(stop)
        request = Request(
            prompt_ids=self.encode(prompt, raw=raw),
            max_tokens=max_tokens,
            sampling=sampling,
            end_token_ids=self._end_token_ids(),
            on_token=transcript.on_token,
        )
        sequence = TokenSequence(request)
        with self._lock:
            self._scheduler.add(sequence)
        return Generation(self, sequence, transcript, started=started)

    def generate_batch(
        self,
        prompts: Sequence[Prompt],
        *,
        max_tokens: int = 256,
        sampling: Sampling = GREEDY,
        stop: Sequence[str] = (),
        raw: bool = False,
    ) -> list[Completion]:
        """Answer several prompts, computed together; the completions come in the order of the prompts."""
        begun: list[Generation] = []
        try:
            for prompt in prompts:
                begun.append(self.generate(prompt, max_tokens=max_tokens, sampling=sampling, stop=stop, raw=raw))
            return [generation.result for generation in begun]
        finally:
            for generation in begun:
                generation.cancel()

    def step(self) -> bool:
        """One call of the executor for whatever is under way. Returns whether there is more to do."""
        with self._locked():
            self._scheduler.step()
            return self._scheduler.busy

    def cancel(self, sequence: TokenSequence) -> None:
        """End a sequence and free its pages; `Generation.cancel` is the way to it."""
        check_process()
        with self._lock:
            self._scheduler.cancel(sequence)

    def encode(self, prompt: Prompt, *, raw: bool = False) -> tuple[int, ...]:
        """The token ids that `generate` would compute for this prompt; the same errors."""
        self._check_usable()
        ids = encode_prompt(self.bundle, prompt, raw=raw)
        self._check_length(ids)
        return ids

    def logits(self, token_ids: Sequence[int]) -> Logits:
        """Logits after these tokens: f32 [V], a copy. Waits for nothing that is under way, and disturbs nothing."""
        ids = check_ids(token_ids, self.bundle.manifest.signature.vocab_size)
        self._check_length(ids)
        with self._locked():
            return self._scheduler.logits(ids)

    def all_logits(self, token_ids: Sequence[int], *, first: int = 0) -> Logits:
        """Logits after each token from the one at `first` on: f32 [tokens - first, V], a copy; else as `logits`."""
        with self._scoring(token_ids, first) as parts:
            return np.concatenate([part.copy() for part in parts])

    def score(self, token_ids: Sequence[int], *, first: int = 0) -> Scores:
        """How likely each token after the one at `first` was, given those before it; else as `logits`.

        Memory is bounded, however long the text: logits are looked at as they come.
        """
        with self._scoring(token_ids, first) as parts:
            return score_tokens(parts, list(token_ids)[first + 1 :])

    @contextmanager
    def _scoring(self, token_ids: Sequence[int], first: int) -> Iterator[Iterator[Logits]]:
        ids = check_ids(token_ids, self.bundle.manifest.signature.vocab_size)
        self._check_length(ids)
        if not 0 <= first < len(ids):
            raise RequestError(f"first is {first}: expected 0 to {len(ids) - 1}, a position of the text")
        with self._locked(), closing(self._scheduler.score(ids, first)) as parts:
            yield parts

    def _check_length(self, ids: Sequence[int]) -> None:
        check_length(len(ids), self.context_length, self.bundle.manifest.signature.context_length)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """The lock on the executor, taken by one thread of this process; in another it might never be given."""
        check_process()
        with self._lock:
            self._check_usable()
            yield

    def close(self) -> None:
        """Give the device, the cache and, where `open` opened it, the bundle back. A second call does nothing."""
        if is_forked():
            return
        with self._lock:
            self._executor.close()
            if self._owns_bundle:
                self.bundle.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _transcript(self, stop: Sequence[str]) -> Transcript:
        if self._vocabulary is None:
            self._vocabulary = Vocabulary(self.bundle.tokenizer)
        return Transcript(self._vocabulary, texts("stop", stop))

    def _end_token_ids(self) -> frozenset[int]:
        tokenizer = self.bundle.manifest.tokenizer
        ends = frozenset(tokenizer.end_token_ids)
        return ends if tokenizer.eos_token_id is None else ends | {tokenizer.eos_token_id}

    def _check_usable(self) -> None:
        check_process()
        if self._executor.closed:
            raise EngineClosedError("the engine is closed: open it again")
