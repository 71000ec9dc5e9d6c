"""`build`: source -> plan -> program -> modules -> archive, each step taking one value and returning one."""

import importlib.metadata
import math
import resource
import sys

from sharkpack import __version__
from sharkpack.bundler.compile_cache import CompileCache
from sharkpack.bundler.compiler import flags_of
from sharkpack.bundler.modules import Module, make_modules
from sharkpack.bundler.options import BuildOptions, BuildReport, BuiltTarget, Progress
from sharkpack.bundler.plan import BuildPlan, make_plan
from sharkpack.bundler.program import PARAMETER_SCOPE
from sharkpack.bundler.sources import open_source
from sharkpack.bundler.steps import Steps
from sharkpack.bundler.targets import Target
from sharkpack.bundler.weights import write_parameters
from sharkpack.formats.archive import ArchiveWriter
from sharkpack.formats.manifest import (
    Format,
    Manifest,
    Member,
    ModelInfo,
    ParameterFile,
    Producer,
    Source,
    TargetInfo,
    TokenizerInfo,
)

__all__ = ["BuildOptions", "BuildReport", "build"]

PARAMETERS_PATH = "params/model.irpa"
TOKENIZER_PATH = "tokenizer/tokenizer.json.zst"
CHAT_TEMPLATE_PATH = "tokenizer/chat_template.jinja.zst"


def build(options: BuildOptions, progress: Progress) -> BuildReport:
    """Build one bundle. Raises SharkpackError for anything that a user can mend; nothing is left half-written."""
    steps = Steps(progress)
    cache = CompileCache.of_user() if options.cache else None
    with open_source(options.source) as source:
        with steps("plan"):
            plan = make_plan(source, options)
        modules = make_modules(plan, cache, steps)
        with ArchiveWriter(plan.output, overwrite=plan.overwrite) as archive:
            _write(archive, plan, modules, steps)
    return BuildReport(
        path=plan.output,
        size=plan.output.stat().st_size,
        source_size=source.size,
        targets=tuple(
            BuiltTarget(id=each.target.id, size=len(each.code), seconds=each.seconds, cached=each.cached)
            for each in modules
        ),
        warnings=() if cache is None or cache.problem is None else (cache.problem,),
        step_seconds=steps.seconds,
        peak_memory_bytes=_peak_memory(),
    )


def _write(archive: ArchiveWriter, plan: BuildPlan, modules: list[Module], steps: Steps) -> None:
    size = plan.parameters.total_size
    with steps("weights", size) as done, archive.open_member(PARAMETERS_PATH, size) as out:
        write_parameters(plan.parameters, out, plan.model, plan.source, done)
    with steps("archive"):
        archive.add(TOKENIZER_PATH, plan.tokenizer.json, compress=True)
        if plan.tokenizer.chat_template is not None:
            archive.add(CHAT_TEMPLATE_PATH, plan.tokenizer.chat_template.encode(), compress=True)
        for module in modules:
            archive.add(_module_path(module.target), module.code)
        archive.finish(_describe(plan, archive.members).to_json())


def _module_path(target: Target) -> str:
    return f"targets/{target.id}/module.vmfb"


def _describe(plan: BuildPlan, members: list[Member]) -> Manifest:
    source = plan.source
    return Manifest(
        format=Format(),
        model=ModelInfo(
            name=source.name,
            architecture=source.architecture,
            quantization=source.quantization,
            parameter_count=sum(math.prod(tensor.shape) for tensor in source.tensors.values()),
            context_length=plan.options.context_length,
            trained_context_length=source.integer("context_length"),
            license=source.license,
        ),
        source=Source(kind=source.kind, file=source.path.name, size=source.size, sha256=source.sha256()),
        producer=Producer(
            sharkpack=__version__,
            iree_compiler=importlib.metadata.version("iree-base-compiler"),
            iree_turbine=importlib.metadata.version("iree-turbine"),
            torch=importlib.metadata.version("torch"),
        ),
        minimum_runtime=importlib.metadata.version("iree-base-compiler"),
        signature=plan.signature,
        tokenizer=_tokenizer_info(plan),
        parameters=(ParameterFile(path=PARAMETERS_PATH, scope=PARAMETER_SCOPE),),
        targets=tuple(_target_info(target) for target in plan.targets),
        members=tuple(members),
    )


def _tokenizer_info(plan: BuildPlan) -> TokenizerInfo:
    t = plan.tokenizer
    return TokenizerInfo(
        path=TOKENIZER_PATH,
        chat_template=None if t.chat_template is None else CHAT_TEMPLATE_PATH,
        add_bos=t.add_bos,
        add_eos=t.add_eos,
        bos_token_id=t.bos_token_id,
        eos_token_id=t.eos_token_id,
        end_token_ids=tuple(t.end_token_ids),
        bos_token=t.bos_token,
        eos_token=t.eos_token,
    )


def _target_info(target: Target) -> TargetInfo:
    return TargetInfo(
        id=target.id,
        path=_module_path(target),
        driver=target.driver,
        architecture=target.architecture,
        cpu_features=target.cpu_features,
        priority=target.priority,
        compile_flags=flags_of(target),
    )


def _peak_memory() -> int:
    """Largest resident size in bytes, of this process or of a compiler it ran; ru_maxrss is in KiB, but on macOS."""
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
