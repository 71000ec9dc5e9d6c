"""`export`: what a bundle is made from, as separate files that IREE's own tools take, with the commands to do so."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sharkpack.bundler.compile.cache import CompileCache
from sharkpack.bundler.compile.cached_program import program_maker
from sharkpack.bundler.compile.compile_targets import compile_target
from sharkpack.bundler.compile.compiler import flags_of
from sharkpack.bundler.model_spec.weight_bytes import write_parameters
from sharkpack.bundler.options import BuildOptions
from sharkpack.bundler.pipeline.describe import describe
from sharkpack.bundler.pipeline.plan import BuildPlan, make_plan
from sharkpack.bundler.pipeline.prepare import prepare
from sharkpack.bundler.program_files import write_descriptions
from sharkpack.bundler.progress import Progress, Steps
from sharkpack.bundler.quantize import QuantizationReport
from sharkpack.bundler.tokenizer import checkpoint_path
from sharkpack.formats.archive.generate_calls import DECODE_ROLES, PREFILL_ROLES
from sharkpack.formats.io.output_folder import output_folder
from sharkpack.formats.iree_tools import compile_command, run_command, script
from sharkpack.formats.model_files.irpa import PARAMETER_SCOPE
from sharkpack.formats.padded_batch import PaddedBatch
from sharkpack.templates.lowering.lowering import link
from sharkpack.templates.lowering.parse import has_calls

PROGRAM = "program.mlir"
PARAMETERS = "parameters.irpa"
COMMANDS = "commands.sh"
EXAMPLE_TOKENS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """The files of a folder, by name with their sizes in bytes, and the seconds that steps took."""

    folder: Path
    files: Mapping[str, int]
    step_seconds: Mapping[str, float]
    warnings: tuple[str, ...] = ()
    quantization: QuantizationReport | None = None


def export(options: BuildOptions, folder: Path, progress: Progress) -> ExportReport:
    """Write program, parameters, code, tokenizer, signature and commands to `folder`, which must be new or empty."""
    cache = CompileCache.of_user() if options.cache else None
    planner = partial(make_plan, options=options)
    with (
        output_folder(folder) as out,
        prepare(options.source, planner, progress, quantize=options.quantize) as prepared,
    ):
        plan, steps = prepared.plan, prepared.steps
        programs = _write_code(plan, out, cache, steps)
        with steps("weights", plan.parameters.total_size) as done, (out / PARAMETERS).open("wb") as file:
            write_parameters(plan.parameters, file, plan.model, prepared.source, done)
        _write_texts(plan, out, _config(plan, programs, prepared.sha256()))
        if plan.source.program is not None:
            write_descriptions(plan, sorted({out / name for name in programs.values()}), PARAMETERS)
        _write_example(plan, out / "inputs")
        (out / COMMANDS).write_text(script(_commands(plan, programs)), encoding="utf-8")
        (out / COMMANDS).chmod(0o755)
        files = {path.relative_to(out).as_posix(): path.stat().st_size for path in sorted(out.rglob("*.*"))}
    warnings = plan.notes + (() if cache is None or cache.problem is None else (cache.problem,))
    return ExportReport(
        folder=folder,
        files=files,
        step_seconds=steps.seconds,
        warnings=warnings,
        quantization=prepared.quantization,
    )


def _write_code(plan: BuildPlan, out: Path, cache: CompileCache | None, steps: Steps) -> dict[str, str]:
    """Returns the name of the program of each target: one for all where no kernel is written for a target."""
    programs = {}
    program = program_maker(plan.program, None if cache is None else plan.program_key, cache, steps)()
    for target in plan.targets:
        with steps(f"compile {target.id}"):
            programs[target.id] = f"{target.id}.mlir" if has_calls(program.text) else PROGRAM
            (out / programs[target.id]).write_text(link(program.text, target.lowering), encoding="utf-8")
            (out / _module(target.id)).write_bytes(compile_target(program, target, cache)[0])
    return programs


def _write_texts(plan: BuildPlan, out: Path, config: Mapping[str, Any]) -> None:
    (out / "tokenizer.json").write_bytes(plan.tokenizer.json)
    for name, text in plan.tokenizer.chat_templates.items():
        path = out / checkpoint_path(name)
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _config(plan: BuildPlan, programs: Mapping[str, str], source_sha256: str) -> dict[str, Any]:
    """The manifest that a bundle of the plan would have, with files in place of members."""
    described = describe(plan, [], source_sha256).to_dict()
    config = {key: described[key] for key in ("model", "source", "producer", "minimum_runtime", "signature")}
    config["tokenizer"] = {
        key: value
        for key, value in described["tokenizer"].items()
        if key not in ("path", "chat_template", "chat_templates")
    }
    config["parameters"] = [{"file": PARAMETERS, "scope": PARAMETER_SCOPE}]
    config["targets"] = [
        {
            "id": target.id,
            "driver": target.driver,
            "program": programs[target.id],
            "module": _module(target.id),
            "compile_flags": list(flags_of(target)),
        }
        for target in plan.targets
    ]
    return config


class _Row(NamedTuple):
    tokens: Sequence[int]
    start: int
    pages: Sequence[int]


def _write_example(plan: BuildPlan, folder: Path) -> None:
    """A prefill of the first tokens of the vocabulary, and the decoding of one more."""
    folder.mkdir()
    size, each = plan.batch_sizes[0], _pages(plan)
    prefill, decode = [], []
    for row in range(size):
        # Page 0 is scratch; each sequence has pages of its own after it.
        tokens = [(row * EXAMPLE_TOKENS + i) % plan.model.vocab_size for i in range(EXAMPLE_TOKENS)]
        pages = range(1 + row * each, 1 + (row + 1) * each)
        prefill.append(_Row(tokens, 0, pages))
        decode.append(_Row(tokens[:1], EXAMPLE_TOKENS, pages))
    for step, rows in (("prefill", prefill), ("decode", decode)):
        for role, array in PaddedBatch.of(rows, size).by_role().items():
            np.save(folder / f"{step}_{role}.npy", array)


def _commands(plan: BuildPlan, programs: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
    for target in plan.targets:
        command = compile_command(programs[target.id], _module(target.id), flags_of(target))
        yield f"How {_module(target.id)} was made.", command
    target, size = plan.targets[0], plan.batch_sizes[0]
    layout = plan.model.cache_layout
    pages = 1 + size * _pages(plan)
    cache = f"{pages}x{layout.page_elements}x{plan.options.cache_dtype}=0"
    steps = (("prefill", PREFILL_ROLES, cache), ("decode", DECODE_ROLES, "cache_after_prefill.npy"))
    for step, names, cache in steps:
        inputs = [cache if name == "memory" else f"inputs/{step}_{name}.npy" for name in names]
        outputs = [f"logits_after_{step}.npy", f"cache_after_{step}.npy"]
        outputs += ["hidden_after_prefill.npy"] if step == "prefill" and plan.scores else []
        parameters = {PARAMETER_SCOPE: PARAMETERS}
        function = f"{step}_bs{size}"
        yield (
            f"A {step}, on this machine if it can run {target.id}; the results are files beside this one.",
            run_command(_module(target.id), parameters, target.driver, function, inputs, outputs=outputs),
        )


def _pages(plan: BuildPlan) -> int:
    """Pages that a sequence of the example needs."""
    return -(-(EXAMPLE_TOKENS + 1) // plan.options.page_size)


def _module(target: str) -> str:
    return f"{target}.vmfb"
