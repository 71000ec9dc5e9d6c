"""Weights are streamed: the private memory of a quantisation does not grow with its tensors.

The whole of it, on a model of 1.5 billion parameters: scripts/check test -m slow
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end.command_line import SHARKPACK
from tests.end_to_end.private_memory import peak_private_memory
from tests.large_models import QWEN_1_5B, LargeModel, write_large_gguf

MIB = 1 << 20
GIB = 1 << 30

# One tensor of 64 MiB in F16, which would be 128 in float32; and none to speak of.
WIDE = LargeModel(layers=1, dim=512, ffn=512, heads=8, kv_heads=2, vocabulary=65536)
NARROW = LargeModel(layers=1, dim=512, ffn=512, heads=8, kv_heads=2, vocabulary=512)

# Packs a quantised model's parameters without tracing or compiling it: that is tried on the large one.
PACK = """
import io, sys
from functools import partial
from sharkpack.bundler.options import BuildOptions
from sharkpack.bundler.pipeline.plan import make_plan
from sharkpack.bundler.pipeline.prepare import prepare
from sharkpack.bundler.quantize import QuantizeOptions
from sharkpack.cli.support.progress import SilentProgress
from sharkpack.bundler.model_spec.weight_bytes import write_parameters

class Nowhere:
    def write(self, data): pass
    def advance(self, count): pass

planner, quantize = partial(make_plan, options=BuildOptions(source=sys.argv[1])), QuantizeOptions(scheme=sys.argv[2])
with prepare(sys.argv[1], planner, SilentProgress(), quantize=quantize) as made:
    write_parameters(made.plan.parameters, Nowhere(), made.plan.model, made.source, Nowhere())
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("memory")
    wide, narrow = write_large_gguf(folder / "wide.gguf", WIDE), write_large_gguf(folder / "narrow.gguf", NARROW)
    assert wide.stat().st_size > 64 * MIB > 8 * narrow.stat().st_size
    return wide, narrow


@pytest.mark.parametrize("kind", ["convert", "pack"])
def test_private_memory_does_not_grow_with_a_tensor(
    kind: str, models: tuple[Path, Path], tmp_path: Path, measured: Callable[[str], None]
) -> None:
    def command(source: Path) -> list[str | Path]:
        if kind == "pack":
            return [SHARKPACK[0], "-c", PACK, source, "q8_0"]
        return [*SHARKPACK, "convert", source, "-o", tmp_path / f"{source.stem}.gguf", "--quantize", "q8_0", "--quiet"]

    wide, narrow = (peak_private_memory(command(source)) for source in models)
    measured(f"{kind} to q8_0, of a tensor of 64 MiB: {wide / MIB:.0f} MiB private, {narrow / MIB:.0f} without it")
    assert wide - narrow < 40 * MIB  # the names of 65,000 tokens take a dozen


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("scheme", ["q8_0", "q4_k"])
def test_a_model_of_a_billion_and_a_half_is_built_in_3_gib(
    scheme: str, tmp_path: Path, measured: Callable[[str], None]
) -> None:
    source, bundle = write_large_gguf(tmp_path / "large.gguf", QWEN_1_5B), tmp_path / "large.shark"
    assert source.stat().st_size > 3_000_000_000
    peak = peak_private_memory(
        [*SHARKPACK, "build", source, "-o", bundle, "--quantize", scheme, "--quiet", "--no-cache"]
    )
    measured(f"1.5 B parameters in f16 to {scheme}: {peak / GIB:.2f} GiB of private memory")
    for path in (source, bundle):
        path.unlink()
    assert peak <= 3 * GIB
