"""Engines and fork: a child is refused, and ends as it wants to."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_FORK = """
import os, sys
from sharkpack.formats.errors import SharkpackError
from sharkpack.runtime_shim import Engine

engine = Engine.open(sys.argv[1], threads=int(sys.argv[2]))
generation = engine.generate([1, 2, 3], max_tokens=4)
child = os.fork()
if child == 0:
    for use in (
        lambda: engine.generate([1]),
        lambda: next(generation),
        generation.cancel,
        lambda: engine.logits([1]),
        lambda: engine.encode([1]),
        lambda: Engine.open(sys.argv[1]),
    ):
        try:
            use()
        except SharkpackError as error:
            assert "forked" in str(error), error
        else:
            raise AssertionError("not refused")
    engine.close()
    sys.exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), len(generation.result().token_ids))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("threads", [1, 2])
def test_a_child_is_refused_and_ends(toy_bundle: Path, threads: int) -> None:
    command = [sys.executable, "-W", "ignore", "-c", _FORK, str(toy_bundle), str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("7 4\n", "")
