"""A source model seen through a quantisation: the same tensors in other types, made row by row as they are read."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from sharkpack.bundler.progress import StartStep
from sharkpack.bundler.quantize.mixture import FLOAT_TYPES, SCHEMES, Scheme, choose_types, describe_types
from sharkpack.bundler.quantize.options import QuantizeOptions
from sharkpack.bundler.quantize.quantized_tensor import PlannedTensor, QuantizedTensor
from sharkpack.bundler.quantize.report import QuantizationReport, TensorError
from sharkpack.bundler.sources.model import SourceDescription, SourceModel
from sharkpack.bundler.sources.tensors import SourceTensor
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.model_files.imatrix import ImportanceMatrix, read_imatrix
from sharkpack.formats.quant.block import Floats

Importance = Mapping[str, Floats]
"""By tensor name, the mean square of each input, float32 [experts * columns]; a tensor without one is not weighed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizedSource:
    """`model` reads as the quantised model; `report` has the tensors whose type changes, filled in while it is read."""

    model: SourceModel
    report: QuantizationReport


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizationPlan:
    """The type that each tensor of `source` gets. `description` is of the model that this makes; its weights cannot be
    read before `apply`.

    importance: what an importance matrix says; None is still to be measured.
    """

    source: SourceModel
    types: Mapping[str, str]
    description: SourceDescription
    importance: Importance | None

    def apply(self, step: StartStep) -> QuantizedSource:
        """The quantised model, its importance measured first where that was asked for. Raises SharkpackError for a
        model that would have to be run for that, and cannot be."""
        changed = {name for name, tensor in self.source.tensors.items() if self.types[name] != tensor.type_name}
        importance = self._measure(step) if self.importance is None and changed else self.importance or {}
        errors: list[TensorError] = []
        tensors = {
            name: _quantized(tensor, self.types[name], importance.get(name), errors) if name in changed else tensor
            for name, tensor in self.source.tensors.items()
        }
        described = {each.name: getattr(self.description, each.name) for each in fields(SourceDescription)}
        model = replace(self.source, **described | {"tensors": tensors})
        return QuantizedSource(model=model, report=QuantizationReport(name=model.quantization, tensors=tuple(errors)))

    def _measure(self, step: StartStep) -> Importance:
        from sharkpack.bundler.quantize.importance import measure_importance  # torch, for those alone who measure

        try:
            return measure_importance(self.source, step)
        except SharkpackError as error:
            raise SharkpackError(
                f"{self.source.path}: to measure what matters in its weights the model has to be run, and cannot be: "
                f"{error}; give --imatrix FILE, or --imatrix none to do without"
            ) from error


def plan_quantization(source: SourceModel, options: QuantizeOptions) -> QuantizationPlan:
    """Plan the quantisation of `source` by `options`; no weight is read.

    Raises SharkpackError for an unknown scheme, for a source whose weights are quantised already (unless asked to
    quantise those again), and for an importance matrix that is not of this model.
    """
    if source.program is not None:
        raise SharkpackError(f"{source.path}: a program says how its weights are stored; leave out --quantize")
    scheme = SCHEMES.get(options.scheme)
    if scheme is None:
        raise SharkpackError(f"nothing can be quantised to '{options.scheme}'; choose one of {', '.join(SCHEMES)}")
    importance = _importance(source, scheme, options)
    types = choose_types(source, scheme, pure=options.pure, weighed=importance != {})
    if not options.requantize:
        _refuse_quantized(source, types)
    return QuantizationPlan(
        source=source, types=types, description=_describe(source, scheme, types), importance=importance
    )


def _describe(source: SourceModel, scheme: Scheme, types: Mapping[str, str]) -> SourceDescription:
    values = {each.name: getattr(source, each.name) for each in fields(SourceDescription)}
    return SourceDescription(
        **values
        | {
            "tensors": {
                name: tensor if types[name] == tensor.type_name else PlannedTensor(tensor, types[name])
                for name, tensor in source.tensors.items()
            },
            "quantization": describe_types(types, source, scheme),
            "metadata": {
                **source.metadata,
                "general.file_type": scheme.file_type,
                "general.quantization_version": 2,
            },
        }
    )


def _importance(source: SourceModel, scheme: Scheme, options: QuantizeOptions) -> Importance | None:
    if options.imatrix is not None:
        return _checked_imatrix(read_imatrix(options.imatrix), source).means
    weighs = scheme.base not in FLOAT_TYPES
    return None if options.measure and weighs else {}


def _refuse_quantized(source: SourceModel, types: dict[str, str]) -> None:
    for name, tensor in source.tensors.items():
        if tensor.type_name not in FLOAT_TYPES and types[name] not in (tensor.type_name, "F32"):
            raise SharkpackError(
                f"{source.path}: tensor '{name}' is {tensor.type_name} already, and quantising it to {types[name]} "
                "adds one error to another; start from an F32, F16 or BF16 model, or insist with --requantize"
            )


def _checked_imatrix(matrix: ImportanceMatrix, source: SourceModel) -> ImportanceMatrix:
    known = [name for name in matrix.means if name in source.tensors]
    if not known:
        raise SharkpackError(
            f"{matrix.path}: none of its {len(matrix.means)} tensors is in {source.path}; it was made for another model"
        )
    for name in known:
        shape, found = source.tensors[name].shape, matrix.means[name].size
        if found != math.prod(shape[:-2]) * shape[-1]:
            raise SharkpackError(
                f"{matrix.path}: has {found} numbers for tensor '{name}', whose shape is {list(shape)}; "
                "it was made for another model"
            )
    return matrix


def _quantized(
    tensor: SourceTensor, type_name: str, importance: Floats | None, errors: list[TensorError]
) -> QuantizedTensor:
    """Its error is added to `errors`."""
    errors.append(TensorError(name=tensor.name, shape=tensor.shape, before=tensor.type_name, after=type_name))
    return QuantizedTensor(tensor=tensor, type_name=type_name, importance=importance, error=errors[-1])
