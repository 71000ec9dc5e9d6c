"""The small F16 models that quantisation is tried on, and what llama-quantize makes of them.

python -m tests.bundler.quantize.models .../llama-quantize    records llama_quantize.json anew
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from sharkpack.bundler.quantize import QuantizedSource, QuantizeOptions, plan_quantization
from sharkpack.bundler.sources import SourceModel
from sharkpack.cli.support.progress import SilentProgress
from sharkpack.formats.model_files.gguf import GGUFFile
from tests.tiny_models import write_tiny_gguf

RECORD = Path(__file__).with_name("llama_quantize.json")

# wide: rows of whole super-blocks, four query heads to a key head. narrow: rows that are not, and one tied table.
MODELS: dict[str, dict[str, Any]] = {
    "wide": {"dim": 256, "ffn": 512, "heads": 8, "kv_heads": 2, "head_dim": 32, "layers": 17, "tied": False},
    "narrow": {"dim": 160, "ffn": 288, "heads": 5, "kv_heads": 5, "head_dim": 32, "layers": 8},
}
SCHEMES = (
    *("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "F16", "BF16", "F32"),
    *("Q2_K", "Q3_K_S", "Q3_K_M", "Q3_K_L", "Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M", "Q6_K"),
)


def write_model(folder: Path, name: str) -> Path:
    return write_tiny_gguf(folder / f"{name}.gguf", "llama", "F16", **MODELS[name])


def quantized_source(source: SourceModel, options: QuantizeOptions) -> QuantizedSource:
    """`source` quantised as the options say; nobody sees the progress of a measurement."""
    return plan_quantization(source, options).apply(SilentProgress().step)


def _recorded(tool: str, source: Path, scheme: str) -> dict[str, list[str]]:
    """Type -> names of the tensors that get it."""
    output = source.with_suffix(f".{scheme}.gguf")
    subprocess.run([tool, source, output, scheme, "1"], check=True, capture_output=True)
    types: dict[str, list[str]] = {}
    with GGUFFile.open(output) as file:
        for tensor in file.tensors.values():
            if len(tensor.shape) > 1:
                types.setdefault(tensor.type_name, []).append(tensor.name.removesuffix(".weight"))
    most = max(types, key=lambda name: len(types[name]))
    return {name: (["*"] if name == most else sorted(types[name])) for name in types}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        record = {
            name: {scheme: _recorded(sys.argv[1], write_model(Path(folder), name), scheme) for scheme in SCHEMES}
            for name in MODELS
        }
    RECORD.write_text(json.dumps(record) + "\n")
