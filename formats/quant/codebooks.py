"""The codebooks of GGML's IQ types: which group of codes an index stands for. The numbers of ggml-common.h (MIT).

codebooks.bin holds them one after the other, codes of 2 bits (of 4 in the IQ3 types), low bits first.
"""

from functools import cache
from importlib import resources

import numpy as np

from sharkpack.formats.quant.block import Bytes

_BOOKS = {  # where in the file, entries, codes an entry, bits a code
    "iq2_xxs": (0, 256, 8, 2),
    "iq2_xs": (512, 512, 8, 2),
    "iq2_s": (1536, 1024, 8, 2),
    "iq3_xxs": (3584, 256, 4, 4),
    "iq3_s": (4096, 512, 4, 4),
    "iq1": (5120, 2048, 8, 2),
}


@cache
def codebook(name: str) -> Bytes:
    """uint8 [entries, codes an entry], read-only: magnitudes, or for "iq1" signs, by number."""
    start, entries, each, bits = _BOOKS[name]
    data = (resources.files("sharkpack.formats.quant") / "codebooks.bin").read_bytes()
    packed = np.frombuffer(data, np.uint8, entries * each * bits // 8, start)
    fields = (packed[:, None] >> np.arange(0, 8, bits, dtype=np.uint8)) & np.uint8((1 << bits) - 1)
    codes: Bytes = fields.reshape(entries, each)
    codes.flags.writeable = False
    return codes


@cache
def signs_of_seven() -> Bytes:
    """uint8 [128]: 8 signs (1: negative) for each 7 of them; the eighth makes their number even."""
    seven = np.arange(128, dtype=np.uint8)
    odd = np.unpackbits(seven[:, None], axis=1).sum(axis=1, dtype=np.uint8) & np.uint8(1)
    signs: Bytes = seven | (odd << np.uint8(7))
    signs.flags.writeable = False
    return signs
