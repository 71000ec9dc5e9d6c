"""The runtime as seen from outside: imports, memory, time, and how the interpreter ends."""

import subprocess
import sys
from pathlib import Path

import pytest

from sharkpack.formats.errors import SharkpackError
from sharkpack.runtime_shim import Engine
from tests.runtime_shim.toy_bundle import ToyBundle
from tests.runtime_shim.toy_language import continuation
from tests.runtime_shim.toy_program import compile_toy

LARGE = 96 << 20  # bytes of weights

_BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.startswith(("torch", "gguf", "transformers", "iree.compiler", "iree.turbine")):
            raise ModuleNotFoundError(name + " is blocked in this test")
sys.meta_path.insert(0, Block())
"""
_MEMORY = """
def private_memory():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("RssAnon"))

def mapped_memory(path):
    with open("/proc/self/smaps") as maps:
        parts = maps.read().split(path + "\\n")[1:]
    return sum(int(part.split("Rss:")[1].split()[0]) << 10 for part in parts)
"""


def _python(code: str, *arguments: object) -> str:
    command = [sys.executable, "-W", "error", "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_runs_where_torch_and_the_compiler_cannot_be_imported(toy_bundle: Path) -> None:
    code = (
        _BLOCK
        + """
from sharkpack.runtime_shim import Engine
with Engine.open(sys.argv[1]) as engine:
    print(*engine.generate([1, 2, 3], max_tokens=20).result().token_ids)
assert not {"torch", "iree.compiler", "gguf", "transformers"} & set(sys.modules)
"""
    )
    assert [int(token) for token in _python(code, toy_bundle).split()] == continuation([1, 2, 3], 20)


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = """
import sys, sharkpack.runtime_shim
print(*({"numpy", "iree.runtime", "tokenizers", "jinja2"} & set(sys.modules)))
"""
    assert _python(code).split() == []


@pytest.fixture(scope="module")
def large_code() -> bytes:
    return compile_toy(ballast=LARGE)


@pytest.fixture(scope="module")
def large_bundle(large_code: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ToyBundle(code=large_code, ballast=LARGE).write(tmp_path_factory.mktemp("large") / "large.shark")


def test_weights_that_the_code_requires_have_to_be_there(large_code: bytes, tmp_path: Path) -> None:
    path = ToyBundle(code=large_code).write(tmp_path / "toy.shark")
    with pytest.raises(SharkpackError, match="no parameter found in index with key 'ballast'"):
        Engine.open(path)


@pytest.mark.skipif(sys.platform != "linux", reason="private memory is read from /proc")
@pytest.mark.parametrize("threads", [1, 2])
def test_opening_neither_reads_nor_copies_weights(large_bundle: Path, threads: int) -> None:
    code = (
        _MEMORY
        + """
import sys
from sharkpack.runtime_shim import Engine
before = private_memory()
engine = Engine.open(sys.argv[1], threads=int(sys.argv[2]), device="local-task", cache_pages=1 << 20)
print(mapped_memory(sys.argv[1]), private_memory() - before)
"""
    )
    mapped, grown = _python(code, large_bundle, threads).split()
    assert 0 < int(mapped) < 8 << 20
    assert int(grown) < 32 << 20  # of 96 MiB of weights and 64 MiB of a cache that nobody has touched


@pytest.mark.parametrize("device", ["local-sync", "local-task"])
@pytest.mark.parametrize(
    "ending",
    ["", "engine.close()", "del engine", "sys.exit(0)", "generation.cancel()", "keep = engine.logits([1])"],
)
def test_the_interpreter_ends_well_whatever_is_still_open(toy_bundle: Path, device: str, ending: str) -> None:
    code = f"""
import sys
from sharkpack.runtime_shim import Engine
engine = Engine.open(sys.argv[1], device={device!r})
generation = engine.generate("Hello", max_tokens=50)
print(next(generation))
{ending}
"""
    answer = bytes(token for token in continuation(b"Hello", 50) if token < 256).decode(errors="replace")
    said = _python(code, toy_bundle).removesuffix("\n")
    assert said
    assert answer.startswith(said)


def test_an_error_on_the_way_out_is_an_error_and_no_crash(toy_bundle: Path) -> None:
    code = """
import sys
from sharkpack.runtime_shim import Engine
engine = Engine.open(sys.argv[1], device="local-task")
original = engine._scheduler._postprocess
def fail(step, logits):
    raise KeyboardInterrupt
engine._scheduler._postprocess = fail
engine.generate("Hello").result()
"""
    command = [sys.executable, "-c", code, str(toy_bundle)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "KeyboardInterrupt" in done.stderr
    assert done.returncode in (-2, 130)  # ended by the interrupt, and by no other signal


@pytest.mark.parametrize(("device", "threads"), [("local-sync", 1), ("local-task", 1), ("local-task", 2)])
def test_no_more_processor_time_than_threads_and_none_when_idle(toy_bundle: Path, device: str, threads: int) -> None:
    code = """
import sys, time
from sharkpack.runtime_shim import Engine
with Engine.open(sys.argv[1], device=sys.argv[2], threads=int(sys.argv[3])) as engine:
    engine.generate([1, 2, 3], max_tokens=4).result()
    cpu, wall = time.process_time(), time.perf_counter()
    while time.perf_counter() < wall + 0.5:
        engine.generate([1, 2, 3], max_tokens=80).result()
    print((time.process_time() - cpu) / (time.perf_counter() - wall))
    cpu = time.process_time()
    time.sleep(0.5)
    print(time.process_time() - cpu)
"""
    busy, idle = (float(word) for word in _python(code, toy_bundle, device, threads).split())
    # The interpreter's thread works while the workers wait, and they wait for one another a little.
    assert busy < threads + 0.3
    assert idle < 0.01
