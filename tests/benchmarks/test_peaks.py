"""The readers that decode is held against: what they reach means something only if each of them reads all of it."""

import numpy as np

from benchmarks.iree_module import ISA, load, open_device
from benchmarks.peak_kernels import ROW_WORDS, reading_text, streaming_sum
from benchmarks.peaks import SHAPES


def test_every_reader_reads_every_word() -> None:
    readers = [streaming_sum(*shape) for shape in SHAPES]
    assert len({reader.name for reader in readers}) == len(SHAPES)
    words = np.random.default_rng(0).integers(-(2**31), 2**31, (2, ROW_WORDS), dtype=np.int32)
    module = load(reading_text(readers, len(words), ISA), open_device(1), {"weights": words.view(np.uint8)})
    for reader in readers:
        lanes = module[f"read_{reader.name}"]().to_host()
        assert np.array_equal(lanes.sum(axis=1, dtype=np.int32), words.sum(axis=1, dtype=np.int32)), reader.name
