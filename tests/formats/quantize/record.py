"""Record what llama.cpp makes of the sample weights: python -m tests.formats.quantize.record .../libggml-base.so

The library is one that was compiled without contraction (-ffp-contract=off): fused multiply-adds choose another of two
nearly equal fits here and there.
"""

import ctypes
import hashlib
import json
import sys
from pathlib import Path

import gguf
import numpy as np

from sharkpack.formats.quant.block import Floats
from sharkpack.formats.quantize import QUANTIZERS
from tests.formats.quantize.samples import COLUMNS, sample_importance, sample_weights, weights_of_lost_scales

RECORD = Path(__file__).with_name("llama_cpp.json")


def recorded(library: ctypes.CDLL, name: str, weights: Floats, importance: Floats | None) -> dict[str, str]:
    """The SHA-256 of all rows, and the first block to look at."""
    out = np.zeros((len(weights), QUANTIZERS[name].row_bytes(COLUMNS)), np.uint8)
    address = None if importance is None else ctypes.c_void_p(importance.ctypes.data)
    library.ggml_quantize_chunk(
        ctypes.c_int(int(gguf.GGMLQuantizationType[name])),
        ctypes.c_void_p(weights.ctypes.data),
        ctypes.c_void_p(out.ctypes.data),
        ctypes.c_int64(0),
        ctypes.c_int64(len(weights)),
        ctypes.c_int64(COLUMNS),
        address,
    )
    return {
        "sha256": hashlib.sha256(out.tobytes()).hexdigest(),
        "first": out[0, : QUANTIZERS[name].block_bytes].tobytes().hex(),
    }


if __name__ == "__main__":
    library = ctypes.CDLL(sys.argv[1])
    types = [name for name in QUANTIZERS if name != "F32"]
    record = {
        name: {
            "plain": recorded(library, name, sample_weights(), None),
            "weighed": recorded(library, name, sample_weights(), sample_importance()),
            "lost": recorded(library, name, weights_of_lost_scales(), None),
            "lost weighed": recorded(library, name, weights_of_lost_scales(), sample_importance()),
        }
        for name in types
    }
    RECORD.write_text(json.dumps(record, indent=1) + "\n")
