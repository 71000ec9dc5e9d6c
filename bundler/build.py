"""`build`: prepared model -> modules -> archive, each step taking one value and returning one."""

import resource
import sys
from functools import partial

from sharkpack.bundler.background import BackgroundTask
from sharkpack.bundler.compile.cache import CompileCache
from sharkpack.bundler.compile.cached_program import program_maker
from sharkpack.bundler.compile.compile_targets import Module, compile_targets
from sharkpack.bundler.compile.program import ProgramText
from sharkpack.bundler.model_spec.weight_bytes import write_parameters
from sharkpack.bundler.options import BuildOptions, BuildReport, BuiltTarget
from sharkpack.bundler.pipeline.describe import (
    PARAMETERS_PATH,
    TOKENIZER_PATH,
    chat_template_path,
    describe,
    module_path,
)
from sharkpack.bundler.pipeline.output import OutputPath, default_output
from sharkpack.bundler.pipeline.plan import BuildPlan, make_plan
from sharkpack.bundler.pipeline.prepare import Prepared, prepare
from sharkpack.bundler.pipeline.stored_program import OPERATORS_PATH, PROGRAM_PATH, operators_json, program_source
from sharkpack.bundler.progress import Progress
from sharkpack.bundler.tokenizer import RebuiltTokenizer
from sharkpack.formats.archive.compressed import Compressed
from sharkpack.formats.archive.writer import ArchiveWriter

__all__ = ["BuildOptions", "BuildReport", "build"]


def build(options: BuildOptions, progress: Progress) -> BuildReport:
    """Build one bundle. Raises SharkpackError for anything that a user can mend; nothing is left half-written."""
    cache = CompileCache.of_user() if options.cache else None
    output = OutputPath(path=options.output or default_output(options.source), overwrite=options.force)
    planner = partial(make_plan, options=options, cache=cache)
    with prepare(options.source, planner, progress, quantize=options.quantize, output=output) as prepared:
        key = None if cache is None else prepared.plan.program_key
        program = program_maker(prepared.plan.program, key, cache, prepared.steps)
        modules = compile_targets(prepared.plan.targets, program, key, cache, prepared.steps)
        with ArchiveWriter(output.path, overwrite=output.overwrite) as archive:
            _write(archive, prepared, modules, program() if options.program else None)
    return BuildReport(
        path=output.path,
        size=output.path.stat().st_size,
        source_size=prepared.source.size,
        targets=tuple(
            BuiltTarget(id=each.target.id, size=len(each.code), seconds=each.seconds, cached=each.cached)
            for each in modules
        ),
        warnings=prepared.plan.notes + (() if cache is None or cache.problem is None else (cache.problem,)),
        step_seconds=prepared.steps.seconds,
        peak_memory_bytes=_peak_memory(),
        quantization=prepared.quantization,
    )


def _write(
    archive: ArchiveWriter, prepared: Prepared[BuildPlan], modules: list[Module], program: ProgramText | None
) -> None:
    plan, steps = prepared.plan, prepared.steps
    size, texts = plan.parameters.total_size, BackgroundTask(partial(_compress_texts, plan.tokenizer, program))
    with steps("weights", size) as done, archive.open_member(PARAMETERS_PATH, size) as out:
        write_parameters(plan.parameters, out, plan.model, prepared.source, done)
    with steps("archive"):
        for path, text in texts.result().items():
            archive.add_compressed(path, text)
        for module in modules:
            archive.add(module_path(module.target), module.code)
        if program is not None:
            archive.add(OPERATORS_PATH, operators_json(program))
        stored = None if program is None else program_source(program)
        archive.finish(describe(plan, archive.members, prepared.sha256(), stored).to_json())


def _compress_texts(tokenizer: RebuiltTokenizer, program: ProgramText | None) -> dict[str, Compressed]:
    """Compress texts by their members' paths, beside the weights, as it takes a third of a second for a large
    vocabulary."""
    texts = {TOKENIZER_PATH: tokenizer.json}
    texts |= {chat_template_path(name): text.encode() for name, text in tokenizer.chat_templates.items()}
    if program is not None:
        texts[PROGRAM_PATH] = program.text.encode()
    return {path: Compressed.of(text) for path, text in texts.items()}


def _peak_memory() -> int:
    """Largest resident size in bytes, of this process or of a compiler it ran; ru_maxrss is in KiB, but on macOS."""
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
