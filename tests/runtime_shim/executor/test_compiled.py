"""CompiledExecutor: code and weights in place, the cache passed on, and nothing wrong let through to the module."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sharkpack.formats.errors import SharkpackError
from sharkpack.runtime_shim import Bundle
from sharkpack.runtime_shim.device.hal import open_device
from sharkpack.runtime_shim.executor.compiled import CompiledExecutor
from sharkpack.runtime_shim.executor.protocol import SequenceChunk
from tests.runtime_shim.toy_bundle import TOY_SIGNATURE, ToyBundle, toy_signature, toy_target
from tests.runtime_shim.toy_language import BATCH_SIZES, PAGE_SIZE, VOCABULARY, next_token

Load = Callable[[Path], CompiledExecutor]
PAGES = 20


@pytest.fixture
def load() -> Iterator[Load]:
    opened: list[tuple[Bundle, CompiledExecutor]] = []

    def load(path: Path) -> CompiledExecutor:
        bundle = Bundle.open(path)
        target, device = bundle.select().target, open_device("local-sync", 1)
        program = CompiledExecutor(bundle.archive, target, device, cache_pages=PAGES, prefill_chunk=64)
        opened.append((bundle, program))
        return program

    yield load
    for bundle, program in opened:
        program.close()
        bundle.close()


def test_rows_of_unlike_length_and_padding_up_to_a_batch(load: Load, toy_bundle: Path) -> None:
    program = load(toy_bundle)
    rows = [SequenceChunk([1, 2, 3], 0, [3]), SequenceChunk([5] * 14, 0, [7, 2]), SequenceChunk([8], 0, [1])]
    logits = program.call("prefill", rows)
    assert logits.shape == (3, VOCABULARY)
    assert logits.argmax(axis=1).tolist() == [next_token(row.tokens) for row in rows]


def test_a_prompt_in_parts_and_then_a_step_in_scattered_pages(load: Load, toy_bundle: Path) -> None:
    program = load(toy_bundle)
    tokens, pages = list(range(30, 60)), [11, 2, 19, 5]
    program.call("prefill", [SequenceChunk(tokens[:13], 0, pages)])
    logits = program.call("prefill", [SequenceChunk(tokens[13:], 13, pages)])
    assert int(logits[0].argmax()) == next_token(tokens)
    logits = program.call("decode", [SequenceChunk([77], 30, pages)])
    assert int(logits[0].argmax()) == next_token([*tokens, 77])


@pytest.mark.parametrize("batch_sizes", [BATCH_SIZES, (4,)])
def test_scoring_gives_what_comes_after_each_token(
    load: Load, toy_code: bytes, tmp_path: Path, batch_sizes: tuple[int, ...]
) -> None:
    bundle = ToyBundle(code=toy_code, signature=toy_signature(batch_sizes))
    program = load(bundle.write(tmp_path / "toy.shark"))
    tokens, pages = list(range(30, 50)), [11, 2, 19]
    program.call("prefill", [SequenceChunk(tokens[:5], 0, pages)])
    logits = program.score(SequenceChunk(tokens[5:], 5, pages))
    assert logits.shape == (15, VOCABULARY)
    assert logits.argmax(axis=1).tolist() == [next_token(tokens[:end]) for end in range(6, 21)]


def test_a_module_without_a_head_cannot_score(load: Load, toy_bundle: Path) -> None:
    program = load(toy_bundle)
    del program._native._functions["head"]  # as in a module that has none
    with pytest.raises(SharkpackError, match="gives no logits but the last token's: build it again"):
        program.score(SequenceChunk([1, 2], 0, [1]))


def test_the_cache_is_updated_in_place(load: Load, toy_bundle: Path) -> None:
    program = load(toy_bundle)

    def cache() -> np.ndarray:
        view = program._native._cache
        cells: np.ndarray = view.map().asarray(view.shape, np.dtype(np.float32))
        return cells

    before = cache().ctypes.data
    program.call("prefill", [SequenceChunk([4, 5, 6], 0, [2])])
    program.call("decode", [SequenceChunk([7], 3, [2])])
    assert cache().ctypes.data == before
    assert cache()[2, :4].tolist() == [4, 5, 6, 7]


@pytest.mark.parametrize(
    ("chunk", "message"),
    [
        (SequenceChunk([1], 0, [PAGES]), f"a page id is outside the cache of {PAGES} pages"),
        (SequenceChunk([1], 0, [-1]), f"a page id is outside the cache of {PAGES} pages"),
        (SequenceChunk([VOCABULARY], 0, [1]), f"a token id is outside the vocabulary of {VOCABULARY}"),
        (SequenceChunk([-1], 0, [1]), f"a token id is outside the vocabulary of {VOCABULARY}"),
        (SequenceChunk([1] * (PAGE_SIZE + 1), 0, [1]), r"1 pages do not hold 0 \+ 9 tokens"),
        (SequenceChunk([1], PAGE_SIZE, [1]), r"1 pages do not hold 8 \+ 1 tokens"),
        (SequenceChunk([1], -1, [1]), "the position -1 is before the beginning"),
        (SequenceChunk([], 0, [1]), "a chunk has no tokens"),
    ],
)
def test_what_would_read_outside_memory_is_refused(
    load: Load, toy_bundle: Path, chunk: SequenceChunk, message: str
) -> None:
    with pytest.raises(SharkpackError, match=message):
        load(toy_bundle).call("prefill", [chunk])


def test_too_many_rows_or_tokens_are_refused(load: Load, toy_bundle: Path) -> None:
    program = load(toy_bundle)
    with pytest.raises(SharkpackError, match="5 sequences and the largest batch is 4"):
        program.call("decode", [SequenceChunk([1], 0, [1])] * (max(BATCH_SIZES) + 1))
    with pytest.raises(SharkpackError, match="a call computes at most 64 tokens, padding included, and this is 65"):
        program.call("prefill", [SequenceChunk([1] * 65, 0, list(range(1, 10)))])


def test_a_closed_program_refuses(load: Load, toy_bundle: Path) -> None:
    program = load(toy_bundle)
    program.close()
    program.close()
    with pytest.raises(SharkpackError, match="the engine is closed"):
        program.call("prefill", [SequenceChunk([1], 0, [1])])


def test_damaged_code_is_never_run(load: Load, toy_bundle: Path, tmp_path: Path) -> None:
    with Bundle.open(toy_bundle) as bundle:
        offset = bundle.archive.file_offset("targets/generic/module.vmfb")
    data = bytearray(toy_bundle.read_bytes())
    data[offset + 1000] ^= 1
    (tmp_path / "toy.shark").write_bytes(data)
    with pytest.raises(SharkpackError, match=r"member 'targets/generic/module\.vmfb' is damaged"):
        load(tmp_path / "toy.shark")


def test_code_that_is_none(load: Load, tmp_path: Path) -> None:
    with pytest.raises(SharkpackError, match=r"targets/generic/module\.vmfb does not load: ") as error:
        load(ToyBundle(code=b"x" * 500).write(tmp_path / "toy.shark"))
    assert "\n" not in str(error.value)


def test_a_promise_that_the_code_does_not_keep(load: Load, toy_code: bytes, tmp_path: Path) -> None:
    signature = toy_signature((1, 2))
    with pytest.raises(SharkpackError, match="has no function prefill_bs2, which the manifest promises"):
        load(ToyBundle(code=toy_code, signature=signature).write(tmp_path / "toy.shark"))
    signature = replace(TOY_SIGNATURE, module="other")
    with pytest.raises(SharkpackError, match="is the module 'module': expected 'other'"):
        load(ToyBundle(code=toy_code, signature=signature).write(tmp_path / "toy.shark"))


def test_a_cache_that_no_memory_holds(toy_code: bytes, tmp_path: Path) -> None:
    path = ToyBundle(code=toy_code, targets=(toy_target("generic"),)).write(tmp_path / "toy.shark")
    with Bundle.open(path) as bundle:
        target, device = bundle.select().target, open_device("local-sync", 1)
        with pytest.raises(SharkpackError, match="no memory for a cache of"):
            CompiledExecutor(bundle.archive, target, device, cache_pages=1 << 50, prefill_chunk=64)
