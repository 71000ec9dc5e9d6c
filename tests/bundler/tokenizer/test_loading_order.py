"""The order of a vocabulary: nothing is lost by it, and what it is for, measured in processes of their own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sharkpack.bundler.tokenizer.loading_order import loading_order

LOAD = """
import ctypes, sys
from pathlib import Path
from tokenizers import Tokenizer

def anonymous():
    fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["RssAnon"].split()[0]) << 10

Tokenizer.from_str('{"model": {"type": "BPE", "vocab": {}, "merges": []}}')
before = anonymous()
tokenizer = Tokenizer.from_file(sys.argv[1])
ctypes.CDLL(None).malloc_trim(0)
print(anonymous() - before)
"""


@pytest.mark.parametrize("count", [0, 1, 5, 11, 12, 13, 24, 100])
def test_every_token_keeps_its_id(count: int) -> None:
    ids = {f"token {7 * n % 101}": n for n in range(count)}
    assert loading_order(ids) == ids


def test_the_order_depends_on_the_tokens_alone() -> None:
    ids = {f"token {n}": n for n in range(100)}
    assert list(loading_order(ids)) == list(loading_order(dict(reversed(ids.items()))))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_it_leaves_less_memory_than_the_order_of_text(tmp_path: Path) -> None:
    """60,000 tokens: their leaves are 5.5 MB in the order of text, and 3.2 in this one."""
    ids = {f"token{n:06}": n for n in range(60_000)}
    assert (
        _left_by_loading(tmp_path / "ours", loading_order(ids)) < _left_by_loading(tmp_path / "text", ids) - 1_500_000
    )


def _left_by_loading(path: Path, vocabulary: dict[str, int]) -> int:
    path.write_text(json.dumps({"model": {"type": "BPE", "vocab": vocabulary, "merges": []}}))
    done = subprocess.run([sys.executable, "-c", LOAD, path], capture_output=True, text=True, check=True)
    return int(done.stdout)
