"""The embedding API: a bundle, opened on this machine, that turns prompts into text."""

import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

import numpy as np

from sharkpack.runtime_shim.bundle.bundle import Bundle
from sharkpack.runtime_shim.checks import texts, whole_number
from sharkpack.runtime_shim.device.forking import check_process, is_forked
from sharkpack.runtime_shim.engine.info import engine_info
from sharkpack.runtime_shim.engine.limits import chunk_length, context_length
from sharkpack.runtime_shim.engine.opening import open_executor
from sharkpack.runtime_shim.engine.options import GREEDY, Options
from sharkpack.runtime_shim.engine.pages import PagePool
from sharkpack.runtime_shim.engine.sampling import Sampling
from sharkpack.runtime_shim.engine.scheduler import Scheduler
from sharkpack.runtime_shim.engine.scores import Scores, score_tokens
from sharkpack.runtime_shim.engine.sequence import Request, TokenSequence
from sharkpack.runtime_shim.engine.stream import Completion, Stream
from sharkpack.runtime_shim.errors import EngineClosedError, RequestError
from sharkpack.runtime_shim.executor.protocol import Executor, Logits
from sharkpack.runtime_shim.text.detokenizer import Vocabulary, decode
from sharkpack.runtime_shim.text.prompt import Prompt, PromptOptions, Tool, check_ids, check_length, encode_prompt
from sharkpack.runtime_shim.text.transcript import Transcript


class Engine:
    """A loaded model with its cache and what it is generating.

    One call of the executor happens at a time; generations may be read from several threads. `info` says what runs
    where; `bundle` is what was opened.
    """

    def __init__(
        self,
        bundle: Bundle,
        executor: Executor,
        *,
        target: str,
        device: str,
        threads: int = 0,
        context: int | None = None,
        prefill_chunk: int = 512,
        load_ms: float = 0.0,
        owns_bundle: bool = False,
    ) -> None:
        """An engine over any executor of the bundle's signature; `Engine.open` is the usual way to one.

        target, device, threads, load_ms: what `info` says. owns_bundle: closing the engine closes the bundle.
        """
        length = context_length(executor.signature, context)
        chunk = chunk_length(length, prefill_chunk)
        self.bundle = bundle
        self.info = engine_info(
            bundle.manifest, executor, length, chunk, target=target, device=device, threads=threads, load_ms=load_ms
        )
        self._executor = executor
        self._pool = PagePool(executor.cache_pages, reserved=executor.signature.reserved_pages)
        self._scheduler = Scheduler(executor, self._pool, context_length=length, prefill_chunk=chunk)
        self._vocabulary: Vocabulary | None = None
        self._lock = threading.RLock()
        self._owns_bundle = owns_bundle

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
        sequences share. prefill_chunk: prompt tokens a call computes at most. Raises BundleError, NoDeviceError,
        CacheFullError (no memory for the cache) and RequestError.
        """
        started = time.perf_counter()
        bundle = path if isinstance(path, Bundle) else Bundle.open(path)
        try:
            opened = open_executor(bundle, device, target, threads, context, cache_pages, prefill_chunk)
        except BaseException:
            if bundle is not path:
                bundle.close()
            raise
        return cls(
            bundle,
            opened.executor,
            target=opened.target,
            device=opened.device,
            threads=opened.threads,
            context=context,
            prefill_chunk=prefill_chunk,
            load_ms=(time.perf_counter() - started) * 1e3,
            owns_bundle=bundle is not path,
        )

    def generate(
        self,
        prompt: Prompt,
        *,
        max_tokens: int = 256,
        sampling: Sampling = GREEDY,
        stop: str | Sequence[str] = (),
        raw: bool = False,
        tools: Sequence[Tool] = (),
        variables: Mapping[str, object] | None = None,
        chat_template: str | None = None,
        special: bool | None = None,
    ) -> Stream:
        """Begin an answer to text, messages or token ids; iterate over it for text, or take its `.result()`.

        raw: text and messages without the chat template, tools and variables: what that is given besides messages;
        chat_template and special: as in PromptOptions. A stop string may spell special tokens.
        Several answers may be under way: they compute together. Raises RequestError, ContextExceededError,
        CacheFullError and EngineClosedError.
        """
        started = time.perf_counter()
        if not isinstance(sampling, Sampling):
            raise RequestError(f"sampling is {sampling!r}: expected a Sampling")
        max_tokens = whole_number("max-tokens", max_tokens, least=1)
        prompt_ids = self.encode(
            prompt, raw=raw, tools=tools, variables=variables, chat_template=chat_template, special=special
        )
        transcript = Transcript(self._read_vocabulary(), texts("stop", stop))
        request = Request(
            prompt_ids=prompt_ids,
            max_tokens=max_tokens,
            sampling=sampling,
            end_token_ids=self._end_token_ids(),
            on_token=transcript.on_token,
            on_end=transcript.on_end,
        )
        sequence = TokenSequence(request)
        with self._lock:
            self._scheduler.add(sequence)
        return Stream(sequence, transcript, step=self.step, cancel=self._cancel, info=self.info, started=started)

    def complete(self, prompt: Prompt, **options: Unpack[Options]) -> Completion:
        """Answer one prompt; options and errors as of `generate`, and what the answer itself fails with."""
        return self.generate(prompt, **options).result()

    def batch(self, prompts: Iterable[Prompt], **options: Unpack[Options]) -> list[Completion]:
        """Answer several prompts, computed together; the completions come in the order of the prompts."""
        if isinstance(prompts, str | Mapping) or not isinstance(prompts, Iterable):
            raise RequestError(f"prompts is {prompts!r}: expected a list of prompts")
        begun: list[Stream] = []
        try:
            for prompt in prompts:
                begun.append(self.generate(prompt, **options))
            return [stream.result() for stream in begun]
        finally:
            for stream in begun:
                stream.cancel()

    def step(self) -> bool:
        """One call of the executor for whatever is under way. Returns whether there is more to do.

        What fails is raised where the answer is read, not here.
        """
        with self._locked():
            self._scheduler.step()
            return self._scheduler.busy

    def encode(self, prompt: Prompt, **options: Unpack[PromptOptions]) -> tuple[int, ...]:
        """The token ids that `generate` would compute for this prompt; the same errors."""
        self._check_usable()
        ids = encode_prompt(self.bundle, prompt, limit=self.info.context_length, **options)
        self._check_length(ids)
        return ids

    def count_tokens(self, prompt: Prompt, **options: Unpack[PromptOptions]) -> int:
        """Returns the number of tokens of this prompt, be it more than the context holds; else the errors of
        `encode`."""
        self._check_usable()
        return len(encode_prompt(self.bundle, prompt, **options))

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of these tokens, as an answer of them would read: special tokens have none.

        Bytes that are no UTF-8 become U+FFFD. Raises RequestError for ids outside the vocabulary.
        """
        self._check_usable()
        empty = isinstance(token_ids, Sequence) and not token_ids
        return "" if empty else decode(self._read_vocabulary(), check_ids(token_ids, self.info.vocab_size))

    def logits(self, token_ids: Sequence[int]) -> Logits:
        """Logits after these tokens: f32 [V], a copy. Waits for nothing that is under way, and disturbs nothing.

        Raises RequestError, ContextExceededError, CacheFullError where too few pages are free, and DeviceFailedError.
        """
        ids = check_ids(token_ids, self.info.vocab_size)
        self._check_length(ids)
        with self._locked():
            return self._scheduler.logits(ids)

    def all_logits(self, token_ids: Sequence[int], *, first: int = 0) -> Logits:
        """Logits after each token from the one at `first` on: f32 [tokens - first, V], a copy; else as `logits`."""
        with self._scoring(token_ids, first) as parts:
            return np.concatenate([part.copy() for part in parts])

    def score(self, token_ids: Sequence[int], *, first: int = 0) -> Scores:
        """Returns how likely each token after the one at `first` was, given those before it; else as `logits`.

        Memory is bounded, however long the text: logits are looked at as they come.
        """
        with self._scoring(token_ids, first) as parts:
            return score_tokens(parts, list(token_ids)[first + 1 :])

    @contextmanager
    def _scoring(self, token_ids: Sequence[int], first: int) -> Iterator[Iterator[Logits]]:
        ids = check_ids(token_ids, self.info.vocab_size)
        self._check_length(ids)
        if not 0 <= whole_number("first", first) < len(ids):
            raise RequestError(f"first is {first}: expected 0 to {len(ids) - 1}, a position of the text")
        with self._locked(), closing(self._scheduler.score(ids, first)) as parts:
            yield parts

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

    def _cancel(self, sequence: TokenSequence) -> None:
        check_process()
        with self._lock:
            self._scheduler.end(sequence, "cancelled")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """The lock on the executor, taken by one thread of this process; in another it might never be given."""
        check_process()
        with self._lock:
            self._check_usable()
            yield

    def _read_vocabulary(self) -> Vocabulary:
        if self._vocabulary is None:
            self._vocabulary = Vocabulary(self.bundle.tokenizer)
        return self._vocabulary

    def _end_token_ids(self) -> frozenset[int]:
        tokenizer = self.bundle.manifest.tokenizer
        ends = frozenset(tokenizer.end_token_ids)
        return ends if tokenizer.eos_token_id is None else ends | {tokenizer.eos_token_id}

    def _check_length(self, ids: Sequence[int]) -> None:
        check_length(len(ids), self.info.context_length, self.info.built_context_length)

    def _check_usable(self) -> None:
        check_process()
        if self._executor.closed:
            raise EngineClosedError("the engine is closed: open it again")
