"""Writes the parameters of bigram.mlir: how often each byte follows each other one in a text, as logarithms.

python examples/bigram/parameters.py docs/format.md
sharkpack build examples/bigram/bigram.mlir -o bigram.shark
sharkpack run bigram.shark "The " --raw --max-tokens 40
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sharkpack.formats.model_files.irpa import plan_irpa
from sharkpack.formats.model_files.tensor_file import write_tensors
from sharkpack.formats.model_files.tensor_note import write_note

SMOOTHING = 0.01


def table(text: bytes) -> NDArray[np.float32]:
    """Logits [256, 256] f32: of the byte after each byte."""
    data = np.frombuffer(text, np.uint8)
    counts = np.full((256, 256), SMOOTHING)
    np.add.at(counts, (data[:-1], data[1:]), 1)
    return np.log(counts / counts.sum(axis=1, keepdims=True)).astype(np.float32)


def main(text: Path, output: Path) -> None:
    """One tensor in a parameter archive."""
    values = table(text.read_bytes())
    plan = plan_irpa([("table", values.nbytes)], notes={"table": write_note("f32", values.shape)})
    with output.open("wb") as file:
        write_tensors(plan, file, [("table", values)])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).with_name("bigram.irpa"))
