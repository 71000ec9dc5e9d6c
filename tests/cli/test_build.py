"""`sharkpack build` around the build itself, which a stand-in plays here: options in, report out, every way to fail."""

import json
import os
import signal
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from sharkpack.bundler.options import BuildOptions, BuildReport, BuiltTarget
from sharkpack.bundler.progress import Progress
from sharkpack.bundler.quantize import QuantizationReport, QuantizeOptions, TensorError
from sharkpack.cli.support.progress import SilentProgress
from sharkpack.formats.errors import SharkpackError
from tests.cli.conftest import Sharkpack

REPORT = BuildReport(
    path=Path("model.shark"),
    size=104_000_000,
    source_size=100_000_000,
    targets=(
        BuiltTarget(id="x86-64-v2", size=400_000, seconds=8.25, cached=False),
        BuiltTarget(id="x86-64-v4-vnni", size=500_000, seconds=0.01, cached=True),
    ),
    step_seconds={"plan": 0.5, "trace": 65.0},
    peak_memory_bytes=1_200_000_000,
)

QUANTIZATION = QuantizationReport(
    name="Q4_K_M mixture",
    tensors=(
        TensorError(
            name="output.weight",
            shape=(300, 256),
            before="F16",
            after="Q6_K",
            weighed=False,
            squared_values=100.0,
            squared_errors=0.01,
        ),
        TensorError(
            name="blk.0.attn_q.weight",
            shape=(256, 256),
            before="F16",
            after="Q4_K",
            weighed=True,
            squared_values=300.0,
            squared_errors=3.99,
        ),
    ),
)


class Builder:
    """Plays `sharkpack.bundler.build.build`."""

    def __init__(self) -> None:
        self.options: list[BuildOptions] = []
        self.failure: BaseException | None = None
        self.report = REPORT

    def build(self, options: BuildOptions, progress: Progress) -> BuildReport:
        self.options.append(options)
        with progress.step("weights", 10) as step:
            step.advance(10)
        warnings.warn("of no use to who runs the command", FutureWarning, stacklevel=1)
        if self.failure is not None:
            raise self.failure
        return self.report


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> Builder:
    builder = Builder()
    module = ModuleType("sharkpack.bundler.build")
    module.build = builder.build  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return builder


def test_defaults(sharkpack: Sharkpack, builder: Builder) -> None:
    assert sharkpack("build", "model.gguf").status == 0
    assert builder.options == [BuildOptions(source="model.gguf")]


def test_every_option(sharkpack: Sharkpack, builder: Builder) -> None:
    sharkpack(
        *("build", "model.gguf", "-o", "out.shark", "--target", "host", "--target", "aarch64"),
        *("--batch-sizes", "8,1", "--context", "4096", "--page-size", "16"),
        *("--cache-dtype", "f32", "--activations", "float32", "--force", "--no-cache", "--no-program"),
    )
    assert builder.options == [
        BuildOptions(
            source="model.gguf",
            output=Path("out.shark"),
            targets=("host", "aarch64"),
            batch_sizes=(1, 8),
            context=4096,
            page_size=16,
            cache_dtype="f32",
            activations="float32",
            force=True,
            program=False,
            cache=False,
        )
    ]


def test_table(sharkpack: Sharkpack, builder: Builder) -> None:
    outcome = sharkpack("build", "model.gguf")
    assert outcome.err == ""
    assert outcome.out.splitlines() == [
        "model.shark  104 MB, 1.04 times the source",
        "",
        "target             code   compiled in",
        "─────────────────────────────────────",
        "x86-64-v2        400 kB         8.2 s",
        "x86-64-v4-vnni   500 kB        cached",
        "",
        "1 min 05 s in all (plan 500 ms, trace 1 min 05 s); peak memory 1.2 GB",
    ]


def test_json(sharkpack: Sharkpack, builder: Builder) -> None:
    report = json.loads(sharkpack("build", "model.gguf", "--json").out)
    assert report == {
        "path": "model.shark",
        "size": 104_000_000,
        "source_size": 100_000_000,
        "targets": [
            {"id": "x86-64-v2", "vmfb_bytes": 400_000, "compile_seconds": 8.25, "cached": False},
            {"id": "x86-64-v4-vnni", "vmfb_bytes": 500_000, "compile_seconds": 0.01, "cached": True},
        ],
        "step_seconds": {"plan": 0.5, "trace": 65.0},
        "peak_memory_bytes": 1_200_000_000,
        "warnings": [],
        "quantization": None,
    }


def test_quantisation_options(sharkpack: Sharkpack, builder: Builder) -> None:
    sharkpack("build", "m.gguf", "--quantize", "Q4_K", "--pure", "--imatrix", "i.dat", "--requantize")
    sharkpack("build", "m.gguf", "--quantize", "q8_0")
    sharkpack("build", "m.gguf", "--quantize", "q8_0", "--imatrix", "none")
    assert [options.quantize for options in builder.options] == [
        QuantizeOptions(scheme="q4_k", pure=True, imatrix=Path("i.dat"), requantize=True),
        QuantizeOptions(scheme="q8_0", measure=True),
        QuantizeOptions(scheme="q8_0"),
    ]


@pytest.mark.parametrize(
    "options", [("--pure",), ("--imatrix", "i.dat"), ("--requantize",), ("--text", "t.txt"), ("--report", "r.tsv")]
)
def test_details_of_no_quantisation_are_refused(
    sharkpack: Sharkpack, builder: Builder, options: tuple[str, ...]
) -> None:
    message = f"{options[0]} goes with --quantize TYPE, which is not given"
    assert sharkpack("build", "m.gguf", *options).error == message
    assert builder.options == []


def test_what_quantisation_cost_is_shown(sharkpack: Sharkpack, builder: Builder, tmp_path: Path) -> None:
    builder.report = replace(REPORT, quantization=QUANTIZATION)
    report = tmp_path / "report.tsv"
    short = sharkpack("build", "m.gguf", "--quantize", "q4_k", "--report", report).out.splitlines()
    assert short[-2:] == ["", "Q4_K_M mixture: 2 tensors changed, relative error 10.00% over all"]
    assert report.read_text().splitlines() == [
        "tensor\tshape\tfrom\tto\trelative error",
        "output.weight\t300x256\tF16\tQ6_K\t0.010000",
        "blk.0.attn_q.weight\t256x256\tF16\tQ4_K\t0.115326",
    ]
    long = sharkpack("build", "m.gguf", "--quantize", "q4_k", "--verbose").out.splitlines()
    assert long[len(short) - 1 :] == [
        "tensor                shape     from   to     relative error",
        "────────────────────────────────────────────────────────────",
        "output.weight         300x256   F16    Q6_K         0.010000",
        "blk.0.attn_q.weight   256x256   F16    Q4_K         0.115326",
        "",
        short[-1],
    ]
    told = json.loads(sharkpack("build", "m.gguf", "--quantize", "q4_k", "--json").out)["quantization"]
    assert (told["name"], told["relative_error"]) == ("Q4_K_M mixture", 0.1)
    assert told["tensors"][0] == {
        "name": "output.weight",
        "shape": [300, 256],
        "from": "F16",
        "to": "Q6_K",
        "weighed": False,
        "relative_error": 0.01,
    }


def test_a_report_that_cannot_be_written_is_refused_before_the_build(sharkpack: Sharkpack, builder: Builder) -> None:
    outcome = sharkpack("build", "m.gguf", "--quantize", "q8_0", "--report", "absent/report.tsv")
    assert outcome.error == "folder absent does not exist; make it first, or choose another --report"
    assert builder.options == []


def test_warnings_are_lines_of_their_own(sharkpack: Sharkpack, builder: Builder) -> None:
    builder.report = replace(REPORT, warnings=("the compile cache /ro cannot be used: Read-only file system",))
    outcome = sharkpack("build", "model.gguf", "--quiet")
    assert (outcome.status, outcome.out) == (0, "")
    assert outcome.err == "warning: the compile cache /ro cannot be used: Read-only file system\n"


def test_quiet(sharkpack: Sharkpack, builder: Builder) -> None:
    outcome = sharkpack("build", "model.gguf", "--quiet")
    assert (outcome.status, outcome.out, outcome.err) == (0, "", "")


def test_bad_input(sharkpack: Sharkpack, builder: Builder) -> None:
    builder.failure = SharkpackError("output model.shark exists;\nreplace it with --force")
    assert sharkpack("build", "model.gguf").error == "output model.shark exists; replace it with --force"


def test_interrupt(sharkpack: Sharkpack, builder: Builder) -> None:
    builder.failure = KeyboardInterrupt()
    outcome = sharkpack("build", "model.gguf")
    assert (outcome.status, outcome.out, outcome.err) == (130, "", "interrupted\n")


def test_termination_unwinds_like_an_interrupt(
    sharkpack: Sharkpack, builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = signal.getsignal(signal.SIGTERM)

    def step(self: SilentProgress, name: str, total: int | None = None) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(SilentProgress, "step", step)
    assert sharkpack("build", "model.gguf").status == 143
    assert signal.getsignal(signal.SIGTERM) == handler
