"""The packed weight stream that kernels read: tiles of 16 rows, codes and their scales together (docs/format.md).

Imports from formats: errors, quant.
"""

from sharkpack.formats.packing.layout import (
    CACHE_LINE,
    LAYOUTS,
    ROWS_PER_TILE,
    PackedLayout,
    layout_named,
    packed_nbytes,
)
from sharkpack.formats.packing.packer import ReadRows, RowOrder, pack, pack_rows, pack_slabs
from sharkpack.formats.packing.unpacker import unpack, unpack_rows

__all__ = [
    "CACHE_LINE",
    "LAYOUTS",
    "ROWS_PER_TILE",
    "PackedLayout",
    "ReadRows",
    "RowOrder",
    "layout_named",
    "pack",
    "pack_rows",
    "pack_slabs",
    "packed_nbytes",
    "unpack",
    "unpack_rows",
]
