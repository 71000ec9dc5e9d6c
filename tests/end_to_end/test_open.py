"""Opening costs the same whatever the weights weigh: milliseconds, and no private copy of them."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end.command_line import python

MILLISECONDS = 100
PRIVATE = 32 << 20
TRIES = 3

# Opens the bundle argv[1], all imports done; then computes a prompt of 300 tokens and four more. The tokenizer is
# loaded in between: it is as large as the vocabulary, and no part of the weights.
_OPEN = """
import json, sys, time
import iree.runtime, numpy
from sharkpack.runtime_shim import Engine

def private():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("RssAnon"))

before = private()
start = time.perf_counter()
engine = Engine.open(sys.argv[1])
milliseconds = (time.perf_counter() - start) * 1e3
opened = private() - before
signature = engine.bundle.manifest.signature
generation = engine.generate([100 + i % 200 for i in range(300)], max_tokens=4)
before_it_runs = private()
assert len(generation.result.token_ids) == 4
ran = private() - before_it_runs
page_bytes = signature.cache.page_elements * {"f16": 2, "f32": 4}[signature.cache.dtype]
pages = signature.reserved_pages + -(-304 // signature.page_size)
print(json.dumps({
    "milliseconds": milliseconds, "opened": opened, "ran": ran,
    "expected": pages * page_bytes + 4 * signature.vocab_size,
}))
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="private memory is read from /proc")


@pytest.mark.parametrize("name", ["tiny", "smollm2-135m", "qwen2.5-coder-0.5b", "gemma3-270m"])
def test_opening_is_quick_and_copies_no_weights(
    name: str, tiny_bundle: Path, real_bundle: Callable[..., Path], measured: Callable[[str], None]
) -> None:
    path = tiny_bundle if name == "tiny" else real_bundle(name)
    tries = [json.loads(python(_OPEN, path)) for _ in range(TRIES)]
    milliseconds = min(each["milliseconds"] for each in tries)
    opened, ran = max(each["opened"] for each in tries), max(each["ran"] for each in tries)
    expected = tries[0]["expected"]
    measured(
        f"{name}: {path.stat().st_size / 1e6:.1f} MB open in {milliseconds:.0f} ms with {opened / 2**20:.1f} MiB "
        f"private; 304 tokens add {ran / 2**20:.1f} MiB, {expected / 2**20:.1f} of it cache and logits"
    )
    assert milliseconds <= MILLISECONDS
    assert opened < PRIVATE
    assert opened + ran < PRIVATE + expected
