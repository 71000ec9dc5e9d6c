"""Makes a bundle's manifest from its plan and its members. Only looks things up."""

import importlib.metadata
import math
import re

from sharkpack import __version__
from sharkpack.bundler.compile.compiler import flags_of
from sharkpack.bundler.compile.targets import Target
from sharkpack.bundler.pipeline.plan import BuildPlan
from sharkpack.formats.archive.manifest import (
    Format,
    Manifest,
    Member,
    ModelInfo,
    ParameterFile,
    Producer,
    ProgramSource,
    Requirements,
    Source,
    TargetInfo,
    TokenizerInfo,
    single_text,
)
from sharkpack.formats.model_files.irpa import PARAMETER_SCOPE

PARAMETERS_PATH = "params/model.irpa"
TOKENIZER_PATH = "tokenizer/tokenizer.json.zst"
_NOT_IN_PATHS = re.compile("[^A-Za-z0-9_-]")


def module_path(target: Target) -> str:
    """The member that holds a target's code."""
    return f"targets/{target.id}/module.vmfb"


def chat_template_path(name: str) -> str:
    """The member that holds the chat template of that name."""
    if name == "default":
        return "tokenizer/chat_template.jinja.zst"
    return f"tokenizer/chat_templates/{_NOT_IN_PATHS.sub('_', name)}.jinja.zst"


def describe(
    plan: BuildPlan, members: list[Member], source_sha256: str, program: ProgramSource | None = None
) -> Manifest:
    """The manifest of a bundle of that plan with those members; program: what it says of the one that is among them."""
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
            card=source.card,
        ),
        source=Source(kind=source.kind, file=source.origin, size=source.size, sha256=source_sha256),
        producer=Producer(
            sharkpack=__version__,
            iree_compiler=importlib.metadata.version("iree-base-compiler"),
            iree_turbine=importlib.metadata.version("iree-turbine"),
            torch=importlib.metadata.version("torch"),
        ),
        minimum_runtime=importlib.metadata.version("iree-base-compiler"),
        signature=plan.signature,
        tasks=plan.signature.tasks,
        tokenizer=_tokenizer_info(plan),
        generation=source.generation,
        parameters=(ParameterFile(path=PARAMETERS_PATH, scope=PARAMETER_SCOPE),),
        targets=tuple(_target_info(target) for target in plan.targets),
        program=program,
        members=tuple(members),
    )


def _tokenizer_info(plan: BuildPlan) -> TokenizerInfo:
    t = plan.tokenizer
    paths = {name: chat_template_path(name) for name in t.chat_templates}
    return TokenizerInfo(
        path=TOKENIZER_PATH,
        chat_template=paths.pop("default", None),
        chat_templates=paths,
        single=single_text(
            prefix=(t.bos_token_id,) if t.add_bos and t.bos_token_id is not None else (),
            suffix=(t.eos_token_id,) if t.add_eos and t.eos_token_id is not None else (),
        ),
        bos_token_id=t.bos_token_id,
        eos_token_id=t.eos_token_id,
        end_token_ids=tuple(t.end_token_ids),
        special_tokens=dict(t.special_tokens),
    )


def _target_info(target: Target) -> TargetInfo:
    return TargetInfo(
        id=target.id,
        path=module_path(target),
        driver=target.driver,
        architecture=target.architecture,
        activations=target.lowering.activations,
        priority=target.priority,
        requires=Requirements(cpu_features=target.cpu_features),
        compile_flags=flags_of(target),
    )
