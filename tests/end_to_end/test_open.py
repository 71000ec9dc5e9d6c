"""Opening costs the same whatever the weights weigh: it neither copies them nor reads them."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end.command_line import python

PRIVATE = 32 << 20
MAPPED = 32 << 20
"""Bytes of files that become resident while a bundle is opened: code and manifest, and none of the weights."""

TRIES = 3

# Opens the bundle argv[1], all imports done; then computes a prompt of 300 tokens and four more. The tokenizer is
# loaded in between: it is as large as the vocabulary, and no part of the weights.
_OPEN = """
import json, sys, time
import iree.runtime, numpy
from sharkpack.formats.archive.generate_signature import generate_signature
from sharkpack.runtime_shim import Engine

def resident(kind):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith(kind))

def private():
    return resident("RssAnon")

before, mapped_before = private(), resident("RssFile")
start = time.perf_counter()
engine = Engine.open(sys.argv[1])
milliseconds = (time.perf_counter() - start) * 1e3
opened, mapped = private() - before, resident("RssFile") - mapped_before
signature = generate_signature(engine.bundle.manifest.signature)
generation = engine.generate([100 + i % 200 for i in range(300)], max_tokens=4)
before_it_runs = private()
assert len(generation.result().token_ids) == 4
ran = private() - before_it_runs
page_bytes = signature.cache.page_elements * {"f16": 2, "f32": 4}[signature.cache.dtype]
pages = signature.reserved_pages + -(-304 // signature.page_size)
print(json.dumps({
    "milliseconds": milliseconds, "opened": opened, "mapped": mapped, "ran": ran,
    "expected": pages * page_bytes + 4 * signature.vocab_size,
}))
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="private memory is read from /proc")


def test_opening_a_small_bundle_copies_and_reads_no_weights(tiny_bundle: Path, measured: Callable[[str], None]) -> None:
    _assert_opening_is_cheap("tiny", tiny_bundle, measured)


@pytest.mark.parametrize("name", ["smollm2-135m", "qwen2.5-coder-0.5b", "gemma3-270m"])
def test_opening_copies_and_reads_no_weights(
    name: str, real_bundle: Callable[..., Path], measured: Callable[[str], None]
) -> None:
    _assert_opening_is_cheap(name, real_bundle(name), measured)


def _assert_opening_is_cheap(name: str, path: Path, measured: Callable[[str], None]) -> None:
    tries = [json.loads(python(_OPEN, path)) for _ in range(TRIES)]
    milliseconds = min(each["milliseconds"] for each in tries)
    opened, mapped, ran = (max(each[key] for each in tries) for key in ("opened", "mapped", "ran"))
    expected = tries[0]["expected"]
    measured(
        f"{name}: {path.stat().st_size / 1e6:.1f} MB open in {milliseconds:.0f} ms with {opened / 2**20:.1f} MiB "
        f"private, {mapped / 2**20:.1f} mapped; 304 tokens add {ran / 2**20:.1f} MiB, {expected / 2**20:.1f} of it "
        "cache and logits"
    )
    assert opened < PRIVATE
    assert mapped < MAPPED
    assert opened + ran < PRIVATE + expected
