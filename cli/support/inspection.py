"""The inspection of each kind of model file, as tables for people and plain data for programs. Prints nothing."""

import json
import math
import mmap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sharkpack.cli.support.console import format_bytes, format_count
from sharkpack.formats.archive.generate_signature import generate_signature
from sharkpack.formats.archive.manifest import (
    GenerationDefaults,
    Manifest,
    ModelCard,
    PagePool,
    Requirements,
    Signature,
)
from sharkpack.formats.archive.memory import Memory
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.model_files.tensor_note import read_note

LONGEST_VALUE = 72
LONGEST_ARRAY = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorRow:
    """One tensor: `offset` and `nbytes` in bytes of the inspected file, or of `file` in the inspected folder; type and
    shape where the format knows them."""

    name: str
    offset: int
    nbytes: int
    type: str | None = None
    shape: tuple[int, ...] | None = None
    file: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        shape = None if self.shape is None else list(self.shape)
        row = {"name": self.name, "type": self.type, "shape": shape, "offset": self.offset, "nbytes": self.nbytes}
        return row if self.file is None else row | {"file": self.file}

    def to_row(self) -> tuple[str, ...]:
        """For a table."""
        shape = "" if self.shape is None else " x ".join(map(str, self.shape))
        row = (self.name, self.type or "", shape, str(self.offset), str(self.nbytes))
        return row if self.file is None else (*row, self.file)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRows:
    """A table to print; columns named in `numeric` are aligned to the right."""

    headings: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    numeric: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """All about one file: `details` for JSON, `tables` for people, `tensors` for both when asked for."""

    kind: str
    size: int
    details: dict[str, Any]
    tables: tuple[TableRows, ...]
    tensors: tuple[TensorRow, ...] = field(default=())


def inspect_shark(path: Path) -> Inspection:
    """A bundle: its manifest, and its tensors at their offsets in the bundle."""
    from sharkpack.formats.archive.reader import Archive
    from sharkpack.formats.model_files.irpa import read_irpa_notes

    with Archive.open(path) as archive:
        manifest = archive.manifest
        tensors: list[TensorRow] = []
        for file in manifest.parameters:
            with archive.view(file.path) as view:
                tensors += _irpa_rows(archive.parameter_index(file.path), read_irpa_notes(view))
        size, signatures = archive.size, archive.signatures
    tables = (_summary_table(manifest, signatures), _targets_table(manifest), _members_table(manifest))
    details = {"tensor_count": len(tensors), "signatures": list(signatures), "manifest": manifest.to_dict()}
    return Inspection(kind="shark", size=size, details=details, tables=tables, tensors=tuple(tensors))


def inspect_gguf(path: Path) -> Inspection:
    """A GGUF file: all of its metadata, long arrays only by their length, and its tensors by type."""
    from sharkpack.formats.model_files.gguf import GGUFFile

    with GGUFFile.open(path) as file:
        size = file.size
        metadata = dict(file.metadata)
        tensors = tuple(
            TensorRow(name=each.name, offset=each.offset, nbytes=each.nbytes, type=each.type_name, shape=each.shape)
            for each in file.tensors.values()
        )
    details = tensor_details(tensors) | {"metadata": {key: _brief(value) for key, value in metadata.items()}}
    rows = [(key, in_words(value)) for key, value in metadata.items()]
    tables = (TableRows(headings=("metadata", "value"), rows=rows), types_table(tensors))
    return Inspection(kind="gguf", size=size, details=details, tables=tables, tensors=tensors)


def inspect_irpa(path: Path) -> Inspection:
    """An IREE parameter archive: names and sizes, and types and shapes where its notes have them."""
    from sharkpack.formats.model_files.irpa import read_irpa_index, read_irpa_notes

    with _mapped(path) as view:
        size = view.nbytes
        try:
            tensors = tuple(_irpa_rows(read_irpa_index(view), read_irpa_notes(view)))
        except SharkpackError as error:
            raise SharkpackError(f"{path}: {error}") from error
    nbytes = sum(tensor.nbytes for tensor in tensors)
    details = {"tensor_count": len(tensors), "tensor_bytes": nbytes}
    rows = [("tensors", str(len(tensors))), ("bytes in tensors", format_bytes(nbytes))]
    tables = (TableRows(headings=("what", "value"), rows=rows),)
    return Inspection(kind="irpa", size=size, details=details, tables=tables, tensors=tensors)


def inspect_safetensors(path: Path) -> Inspection:
    """A safetensors file: its metadata, and its tensors by type."""
    from sharkpack.formats.model_files.safetensors_index import read_safetensors_index

    index = read_safetensors_index(path)
    tensors = tuple(
        TensorRow(name=each.name, offset=each.offset, nbytes=each.nbytes, type=each.dtype, shape=each.shape)
        for each in index.tensors.values()
    )
    details = tensor_details(tensors) | {"metadata": index.metadata}
    metadata = TableRows(
        headings=("metadata", "value"), rows=[(key, in_words(value)) for key, value in index.metadata.items()]
    )
    tables = (metadata, types_table(tensors)) if index.metadata else (types_table(tensors),)
    return Inspection(kind="safetensors", size=index.size, details=details, tables=tables, tensors=tensors)


def _irpa_rows(index: dict[str, tuple[int, int]], notes: dict[str, bytes]) -> Iterator[TensorRow]:
    for name, (offset, nbytes) in index.items():
        kind, shape = read_note(notes[name]) or (None, None)
        yield TensorRow(name=name, offset=offset, nbytes=nbytes, type=kind, shape=shape)


@contextmanager
def _mapped(path: Path) -> Iterator[memoryview]:
    try:
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapping,
            memoryview(mapping) as view,
        ):
            yield view
    except OSError as error:
        raise SharkpackError(f"cannot read {path}: {error.strerror}") from error


def _summary_table(manifest: Manifest, signatures: Sequence[str]) -> TableRows:
    model, signature = manifest.model, manifest.signature
    rows = [
        ("name", model.name),
        ("architecture", model.architecture),
        ("parameters", f"{format_count(model.parameter_count)}, {model.quantization}"),
        ("context", f"{signature.context_length} tokens (trained on {model.trained_context_length})"),
        ("tasks", ", ".join(manifest.tasks) or "none"),
        *(("memory", _in_words(memory)) for memory in signature.memory),
        *_batch_sizes(signature),
        ("chat template", "yes" if manifest.tokenizer.chat_template else "no"),
        ("generation", _generation_in_words(manifest.generation)),
        ("license", " ".join(filter(None, (model.license or "not stated", model.card.license_link)))),
        *_card_rows(model.card),
        ("source", f"{manifest.source.file}, {format_bytes(manifest.source.size)}"),
        ("source SHA-256", manifest.source.sha256),
        ("built by", f"sharkpack {manifest.producer.sharkpack}, IREE {manifest.producer.iree_compiler}"),
        ("needs", f"iree-base-runtime {manifest.minimum_runtime} or newer"),
        ("format", f"{manifest.format.major}.{manifest.format.minor}"),
    ]
    if signatures:
        rows.append(("signatures", f"{', '.join(signatures)} (not verified)"))
    if manifest.format.required_features:
        rows.append(("requires", ", ".join(manifest.format.required_features)))
    return TableRows(headings=("model", ""), rows=rows)


def _in_words(memory: Memory) -> str:
    if isinstance(memory, PagePool):
        return f"{memory.dtype}, {format_bytes(memory.page_bytes)} a page of {memory.page_size} tokens"
    return f"{memory.kind} {memory.name!r}"


def _batch_sizes(signature: Signature) -> Iterator[tuple[str, str]]:
    """A row, where this version can call what generates."""
    try:
        sizes = generate_signature(signature).batch_sizes
    except SharkpackError:
        return
    yield "batch sizes", ", ".join(map(str, sizes))


def _generation_in_words(generation: GenerationDefaults) -> str:
    said = {key: value for key, value in generation.to_dict().items() if not isinstance(value, dict)}
    return ", ".join(f"{key} {json.dumps(value)}" for key, value in said.items()) or "nothing advised"


def _card_rows(card: ModelCard) -> Iterator[tuple[str, str]]:
    """Returns the source's card, a row each."""
    bases = (" / ".join(filter(None, (base.organization, base.name))) or base.url for base in card.base_models)
    rows = {
        "author": card.author,
        "organization": card.organization,
        "made from": ", ".join(filter(None, bases)),
        "languages": ", ".join(card.languages),
        "tags": ", ".join(card.tags),
        "description": card.description,
        "found at": card.url,
    }
    return ((key, in_words(value)) for key, value in rows.items() if value)


def _targets_table(manifest: Manifest) -> TableRows:
    sizes = {member.path: member.size for member in manifest.members}
    rows = [
        (
            target.id,
            target.driver,
            target.architecture,
            target.activations,
            format_bytes(sizes[target.path]),
            _requirements_in_words(target.requires),
        )
        for target in sorted(manifest.targets, key=lambda target: -target.priority)
    ]
    return TableRows(
        headings=("target", "driver", "machine", "activations", "code", "needs"), rows=rows, numeric=("code",)
    )


def _requirements_in_words(requires: Requirements) -> str:
    given = requires.to_dict()
    words = list(given.pop("cpu_features", []))
    return " ".join([*words, *(f"{key}={in_words(value)}" for key, value in given.items())])


def _members_table(manifest: Manifest) -> TableRows:
    rows = [
        (member.path, str(member.offset), format_bytes(member.size), member.sha256[:16]) for member in manifest.members
    ]
    return TableRows(headings=("member", "offset", "size", "SHA-256 begins"), rows=rows, numeric=("offset", "size"))


def types_table(tensors: Sequence[TensorRow]) -> TableRows:
    """Tensors, elements and bytes of each type."""
    counts = Counter(tensor.type or "" for tensor in tensors)
    rows = [
        (
            name,
            str(count),
            format_count(_elements(tensor for tensor in tensors if tensor.type == name)),
            format_bytes(sum(tensor.nbytes for tensor in tensors if tensor.type == name)),
        )
        for name, count in counts.most_common()
    ]
    headings = ("type", "tensors", "elements", "size")
    return TableRows(headings=headings, rows=rows, numeric=headings[1:])


def tensor_details(tensors: Sequence[TensorRow]) -> dict[str, Any]:
    """Returns JSON's summary of tensors, listed or not."""
    return {
        "tensor_count": len(tensors),
        "tensor_bytes": sum(tensor.nbytes for tensor in tensors),
        "tensor_types": dict(Counter(tensor.type or "" for tensor in tensors).most_common()),
        "element_count": _elements(tensors),
    }


def _elements(tensors: Iterable[TensorRow]) -> int:
    return sum(math.prod(tensor.shape or ()) for tensor in tensors)


def _brief(value: Any) -> Any:
    """A metadata value for JSON: long arrays become their length and the type of their first element."""
    if isinstance(value, list) and len(value) > LONGEST_ARRAY:
        return {"array_of": type(value[0]).__name__, "length": len(value)}
    return value


def in_words(value: Any) -> str:
    """A metadata value in one line of a table."""
    if isinstance(value, list) and len(value) > LONGEST_ARRAY:
        return f"[{len(value)} x {type(value[0]).__name__}]"
    text = " ".join(str(value).split())
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 3]}..."
