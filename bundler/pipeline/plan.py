"""Every decision of a build, made and checked before anything slow starts: all of a user's mistakes surface here."""

from dataclasses import dataclass, replace
from typing import TypeVar

from sharkpack.bundler.compile.cache import CompileCache
from sharkpack.bundler.compile.cache.keys import program_key
from sharkpack.bundler.compile.program import ProgramText
from sharkpack.bundler.compile.targets import Target, choose_targets
from sharkpack.bundler.model_spec import ModelSpec
from sharkpack.bundler.model_spec.from_program import spec_of_program
from sharkpack.bundler.model_spec.from_recipe import spec_of_recipe
from sharkpack.bundler.options import DEFAULT_BATCH_SIZES, DEFAULT_CONTEXT, BuildOptions
from sharkpack.bundler.pipeline.packed_sizes import packed_size_notes
from sharkpack.bundler.sources.model import SourceDescription
from sharkpack.bundler.sources.program.mlir_abi import check_abi, scores_tokens
from sharkpack.bundler.sources.program.mlir_program import MlirProgram
from sharkpack.bundler.tokenizer import RebuiltTokenizer, tokenizer_of
from sharkpack.formats.archive.manifest import Signature, paged_signature
from sharkpack.formats.archive.memory import attention_pool
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.host.cpu import host_cpu
from sharkpack.formats.io.one_line import one_line
from sharkpack.formats.model_files.irpa import plan_irpa
from sharkpack.formats.model_files.tensor_file import TensorFilePlan
from sharkpack.formats.model_files.tensor_note import write_note
from sharkpack.templates.architectures.names import ARCHITECTURES
from sharkpack.templates.layers.model_options import ModelOptions
from sharkpack.templates.lowering.lowering import Activations

MAX_BATCH = 64
DEFAULT_PAGE_SIZE = 32
PAGE_SIZES = (16, 32, 64, 128)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildPlan:
    """The plan of a build.

    source: what the model is; its weights cannot be read by it. model: is made and traced when its program is needed,
    without its weights. parameters: where these will lie.
    """

    source: SourceDescription
    targets: tuple[Target, ...]
    options: ModelOptions
    batch_sizes: tuple[int, ...]
    model: ModelSpec
    parameters: TensorFilePlan
    tokenizer: RebuiltTokenizer

    @property
    def signature(self) -> Signature:
        """The ABI of the modules."""
        pool = attention_pool("kv", self.model.cache_layout)
        if self.source.program is not None:
            pool = replace(pool, entries=())  # a program's pages are its own business
        return paged_signature(
            batch_sizes=self.batch_sizes,
            context_length=self.options.context_length,
            vocab_size=self.model.vocab_size,
            pool=pool,
            scores=self.scores,
        )

    @property
    def scores(self) -> bool:
        """Returns whether the modules give logits of all tokens, not of the last alone."""
        program = self.source.program
        return not isinstance(program, MlirProgram) or scores_tokens(program)

    def program(self) -> ProgramText:
        """The model as the compiler takes it: traced, unless it is MLIR already."""
        program = self.source.program
        if isinstance(program, MlirProgram):
            return ProgramText(text=program.code.text, from_recipe=False)
        # torch and turbine: seconds to load, where there is code already
        from sharkpack.bundler.compile.trace import trace

        assert self.model.make is not None
        model = self.model.make()
        try:
            return trace(model, self.options, self.batch_sizes)
        except Exception as error:
            if program is None:
                raise
            raise SharkpackError(_untraceable(self.source, error)) from error  # code that is not ours

    @property
    def program_key(self) -> str | None:
        """Stands for `program()` in the compile cache; None of what has no such key, as MLIR text, which is its own."""
        return None if self.model.state is None else program_key(self.model.state, self.options, self.batch_sizes)

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on what a user might not expect of the bundle, a sentence each."""
        return (*packed_size_notes(self.model.weights.values()), *self.tokenizer.notes)


def make_plan(source: SourceDescription, options: BuildOptions, cache: CompileCache | None = None) -> BuildPlan:
    """Check the source and the options against each other. Raises SharkpackError for whatever cannot be built.

    cache: has specs of models, and takes that of this one.
    """
    if source.program is None and source.architecture not in ARCHITECTURES:
        supported = ", ".join(ARCHITECTURES)
        raise SharkpackError(
            f"{source.path}: architecture '{source.architecture}' is not supported; supported: {supported}"
        )
    model_options = _model_options(source, options)
    host = host_cpu()
    targets = choose_targets(options.targets, host.architecture, host.features, _activations(source, options))
    batch_sizes = _batch_sizes(source, options)
    tokenizer = tokenizer_of(source.tokenizer)  # before the model, whose weights it may take seconds to look at
    model = _outline(source, model_options, cache)
    plan = BuildPlan(
        source=source,
        targets=targets,
        options=model_options,
        batch_sizes=batch_sizes,
        model=model,
        parameters=_plan_parameters(model),
        tokenizer=tokenizer,
    )
    if isinstance(source.program, MlirProgram):
        check_abi(source.program, plan.signature)
    return plan


def _untraceable(source: SourceDescription, error: Exception) -> str:
    reason = one_line(" ".join(str(error).split()))
    return (
        f"program '{source.name}' runs but cannot be traced: {type(error).__name__}: {reason}; the numbers of tokens "
        "and pages are symbols there: let no loop, and no condition, depend on them"
    )


def _outline(source: SourceDescription, options: ModelOptions, cache: CompileCache | None) -> ModelSpec:
    if source.program is not None:
        return spec_of_program(source.program, source, options)
    try:
        return spec_of_recipe(source, options, cache)
    except SharkpackError as error:  # a recipe knows no files
        raise SharkpackError(str(error) if str(source.path) in str(error) else f"{source.path}: {error}") from error


def _plan_parameters(model: ModelSpec) -> TensorFilePlan:
    weights = list(model.weights.values())
    notes = {weight.name: write_note(weight.type_name, weight.shape) for weight in weights if weight.shape}
    return plan_irpa([(weight.name, weight.nbytes) for weight in weights], notes=notes)


def _batch_sizes(source: SourceDescription, options: BuildOptions) -> tuple[int, ...]:
    program = source.program
    own = program.batch_sizes if isinstance(program, MlirProgram) else ()
    sizes = tuple(sorted(set(own or DEFAULT_BATCH_SIZES if options.batch_sizes is None else options.batch_sizes)))
    if not sizes or sizes[0] < 1 or sizes[-1] > MAX_BATCH:
        raise SharkpackError(f"batch sizes {sizes} are not numbers from 1 to {MAX_BATCH}")
    return sizes


def _model_options(source: SourceDescription, options: BuildOptions) -> ModelOptions:
    trained = source.integer("context_length")
    context = min(DEFAULT_CONTEXT, trained) if options.context is None else options.context
    if not 1 <= context <= trained:
        raise SharkpackError(f"context {context} is not possible: the model was trained on 1 to {trained} tokens")
    made = ModelOptions(
        context_length=context,
        page_size=_chosen(options.page_size, DEFAULT_PAGE_SIZE),
        cache_dtype=_chosen(options.cache_dtype, "f16"),
    )
    if source.program is not None:
        made = _programs_own(source, options, made)
    if made.page_size not in PAGE_SIZES:
        raise SharkpackError(f"page size {made.page_size} is not one of {', '.join(map(str, PAGE_SIZES))}")
    return made


def _programs_own(source: SourceDescription, options: BuildOptions, made: ModelOptions) -> ModelOptions:
    """A program says itself what its pages are; SharkpackError for an option that says otherwise."""
    program = source.program
    assert program is not None
    _refuse_other(source, "--page-size", options.page_size, program.page_size)
    _refuse_other(source, "--cache-dtype", options.cache_dtype, program.cache_dtype)
    return replace(made, page_size=program.page_size, cache_dtype=program.cache_dtype)


def _activations(source: SourceDescription, options: BuildOptions) -> Activations | None:
    """Those asked for; a program's matmuls are its own, in float32."""
    if source.program is None:
        return options.activations
    _refuse_other(source, "--activations", options.activations, "float32")
    return "float32"


def _refuse_other(source: SourceDescription, option: str, asked: object, own: object) -> None:
    if asked not in (None, own):
        raise SharkpackError(f"{source.path}: a program has its own {option}, here {own}; leave out {option}")


def _chosen(asked: _T | None, default: _T) -> _T:
    return default if asked is None else asked
