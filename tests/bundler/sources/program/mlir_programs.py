"""The example that is MLIR text, with its parameters, whole or with something changed."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from sharkpack.formats.model_files.irpa import plan_irpa
from sharkpack.formats.model_files.tensor_file import write_tensors
from sharkpack.formats.model_files.tensor_note import write_note

EXAMPLE = Path(__file__).parents[4] / "examples" / "bigram"
TABLE = np.random.default_rng(3).standard_normal((256, 256)).astype(np.float32)


def write_program(folder: Path, *changes: tuple[str, str], **values: Any) -> Path:
    """program.mlir in `folder` with each first text of `changes` replaced by the second, and its description with
    `values` put in, or taken out where None; returns its path."""
    text = (EXAMPLE / "bigram.mlir").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "program.mlir"
    path.write_text(text)
    described = {**json.loads((EXAMPLE / "bigram.json").read_text()), **values}
    path.with_suffix(".json").write_text(json.dumps({k: v for k, v in described.items() if v is not None}))
    write_irpa(folder / "bigram.irpa", "table", TABLE)
    return path


def write_irpa(path: Path, name: str, values: np.ndarray[Any, Any], note: str = "f32") -> None:
    """A parameter archive of one tensor."""
    plan = plan_irpa([(name, values.nbytes)], notes={name: write_note(note, values.shape)})
    with path.open("wb") as file:
        write_tensors(plan, file, [(name, values)])


def write_safetensors(path: Path, name: str, values: np.ndarray[Any, Any], dtype: str = "F32") -> None:
    """A safetensors file of one tensor."""
    entry = {"dtype": dtype, "shape": list(values.shape), "data_offsets": [0, values.nbytes]}
    header = json.dumps({name: entry}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + values.tobytes())
