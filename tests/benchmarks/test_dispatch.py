"""The kernel that a dispatch is timed with."""

import iree.runtime as rt
import numpy as np

from benchmarks.dispatch import chain, dispatch_seconds, increment
from benchmarks.iree_module import load, open_device


def test_every_dispatch_runs_and_takes_time() -> None:
    device = open_device(1)
    one, many = (load(chain(increment(), count), device)["run"] for count in (1, 401))
    values = rt.asdevicearray(device, np.zeros((3, 16), np.int32))
    assert np.array_equal(np.asarray(many(values)), np.full((3, 16), 401))
    assert 0 < dispatch_seconds([one, many], values, rounds=5) < 1e-3
