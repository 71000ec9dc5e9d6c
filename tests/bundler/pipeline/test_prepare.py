"""The one road of the verbs: what is planned is a description, what is read is measured, and nothing happens twice."""

import hashlib
import threading
from pathlib import Path

import pytest

from sharkpack.bundler.pipeline.output import OutputPath
from sharkpack.bundler.pipeline.prepare import prepare
from sharkpack.bundler.quantize import QuantizeOptions
from sharkpack.bundler.sources import SourceDescription, SourceModel
from sharkpack.cli.support.progress import SilentProgress
from sharkpack.formats.errors import SharkpackError
from tests.tiny_models import write_tiny_gguf

MATRIX = "blk.0.ffn_up.weight"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_tiny_gguf(tmp_path / "tiny.gguf", "llama", "F16")


def _types(source: SourceDescription) -> dict[str, tuple[str, int]]:
    return {name: (tensor.type_name, tensor.nbytes) for name, tensor in source.tensors.items()}


def test_without_a_quantisation_the_source_is_what_is_planned(path: Path) -> None:
    with prepare(str(path), lambda source: source, SilentProgress()) as prepared:
        assert prepared.plan is prepared.source
        assert prepared.quantization is None
        assert prepared.sha256() == hashlib.sha256(path.read_bytes()).hexdigest()
        assert list(prepared.steps.seconds) == ["plan"]


def test_a_plan_sees_the_quantised_types_and_has_no_weights(path: Path) -> None:
    options = QuantizeOptions(scheme="q8_0", measure=True)
    with prepare(str(path), lambda source: source, SilentProgress(), quantize=options) as prepared:
        assert not isinstance(prepared.plan, SourceModel)
        assert not hasattr(prepared.plan.tensors[MATRIX], "rows")
        assert _types(prepared.plan) == _types(prepared.source)
        assert prepared.plan.quantization == prepared.source.quantization
        assert prepared.plan.metadata == prepared.source.metadata
        assert list(prepared.steps.seconds) == ["plan", "importance"]
        prepared.source.tensor(MATRIX).read()
        assert prepared.quantization is not None
        assert {each.name for each in prepared.quantization.tensors if each.weighed} == {MATRIX}


@pytest.mark.parametrize("scheme", ["q4_k", "f32", "bf16"])
def test_what_recipes_read_of_a_description_is_what_will_be_packed(path: Path, scheme: str) -> None:
    """Vectors: nothing weighs them."""
    with prepare(str(path), lambda source: source, SilentProgress(), quantize=QuantizeOptions(scheme=scheme)) as made:
        vectors = [name for name, tensor in made.source.tensors.items() if len(tensor.shape) == 1]
        assert vectors
        for name in vectors:
            assert made.plan.tensors[name].read().tobytes() == made.source.tensor(name).read().tobytes()


def test_the_source_is_hashed_while_the_plan_is_made(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned, hashed = threading.Event(), threading.Event()

    def sha256(source: SourceModel) -> str:
        assert planned.wait(60)
        hashed.set()
        return "done"

    monkeypatch.setattr(SourceModel, "sha256", sha256)
    with prepare(str(path), lambda source: planned.set(), SilentProgress()) as prepared:
        assert prepared.sha256() == "done"
    hashed.clear()
    with prepare(str(path), lambda source: planned.set(), SilentProgress(), hashed=False) as prepared:
        assert not hashed.is_set()
        assert prepared.sha256() == "done"


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_output_is_never_a_file_of_the_source(tmp_path: Path, overwrite: bool, path: Path) -> None:
    output = OutputPath(path=path, overwrite=overwrite)
    before = path.read_bytes()
    with (
        pytest.raises(SharkpackError, match=r"^output .* is the source itself; choose another name with -o$"),
        prepare(str(path), lambda source: source, SilentProgress(), output=output),
    ):
        pass
    assert path.read_bytes() == before


def test_an_output_that_exists_is_refused_before_anything_is_opened(tmp_path: Path) -> None:
    taken = tmp_path / "taken.shark"
    taken.write_text("mine")
    with (
        pytest.raises(SharkpackError, match=r"exists; choose another name with -o, or replace it with --force$"),
        prepare(
            "nothing.gguf", lambda source: source, SilentProgress(), output=OutputPath(path=taken, overwrite=False)
        ),
    ):
        pass


def test_the_source_is_closed_when_planning_fails(path: Path) -> None:
    closed = []

    def refuse(source: SourceDescription) -> None:
        assert isinstance(source, SourceModel)
        closed.append(source)
        raise SharkpackError("no")

    with pytest.raises(SharkpackError, match=r"^no$"), prepare(str(path), refuse, SilentProgress()):
        pass
    with pytest.raises(ValueError, match="closed"):
        closed[0].tensor(MATRIX).read()
