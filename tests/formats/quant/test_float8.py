"""8-bit floats, all of them, against torch's."""

import numpy as np
import pytest
import torch

from sharkpack.formats.quant.float8 import float8_values

TYPES = {"F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "F8_E8M0": torch.float8_e8m0fnu}


@pytest.mark.parametrize("dtype", TYPES)
def test_every_byte_has_torchs_value(dtype: str) -> None:
    codes = np.arange(256, dtype=np.uint8)
    wanted = torch.from_numpy(codes.copy()).view(TYPES[dtype]).float().numpy()
    np.testing.assert_array_equal(float8_values(dtype, codes), wanted)
