"""Model specs of programs, torch or text: one layer of one head, and weights as they are stored."""

from sharkpack.bundler.model_spec import ModelSpec
from sharkpack.bundler.sources.model import SourceDescription
from sharkpack.bundler.sources.program.custom_model import CustomModel
from sharkpack.bundler.sources.program.mlir_program import MlirProgram
from sharkpack.bundler.sources.program_description import ProgramDescription
from sharkpack.formats.errors import SharkpackError
from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.layers.model_options import ModelOptions
from sharkpack.templates.layers.weights import StoredWeight


def spec_of_program(program: ProgramDescription, source: SourceDescription, options: ModelOptions) -> ModelSpec:
    """Returns the spec of a program. Raises SharkpackError where a torch module, which is tried, breaks the ABI."""
    if isinstance(program, MlirProgram):
        return ModelSpec(
            vocab_size=program.vocab_size,
            cache_layout=_exact_layout(program, options),
            weights=_weights(source, ""),
        )
    assert isinstance(program, CustomModel)
    from sharkpack.bundler.model_spec.from_model import spec_of_model
    from sharkpack.bundler.model_spec.program_model import CustomCausalModel  # torch, which text does without

    return spec_of_model(CustomCausalModel(program, options, _layout(program, options), _weights(source, "program.")))


def _exact_layout(program: MlirProgram, options: ModelOptions) -> CacheLayout:
    """Text cannot be given a larger page than it was written for."""
    layout = _layout(program, options)
    if layout.page_elements != program.page_elements:
        raise SharkpackError(
            f"{program.code.path}: page_elements is {program.page_elements}; expected a multiple of 2 * page_size: "
            f"let its pages have {layout.page_elements}"
        )
    return layout


def _layout(program: ProgramDescription, options: ModelOptions) -> CacheLayout:
    """One layer of one head, its size rounded up: what is in a page is the program's own business."""
    width = -(-program.page_elements // (2 * options.page_size))
    return CacheLayout(
        dtype=options.cache_dtype,
        page_size=options.page_size,
        layers=1,
        kv_heads=1,
        key_head_dim=width,
        value_head_dim=width,
    )


def _weights(source: SourceDescription, prefix: str) -> dict[str, StoredWeight]:
    """Returns the weights by the names that the program's code has for them."""
    return {
        f"{prefix}{name}": StoredWeight(
            name=f"{prefix}{name}",
            tensor=name,
            type_name=tensor.type_name.lower(),
            shape=tensor.shape,
            nbytes=tensor.nbytes,
        )
        for name, tensor in source.tensors.items()
    }
