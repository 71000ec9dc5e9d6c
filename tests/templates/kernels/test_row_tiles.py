"""The shares of workgroups in the row tiles of a weight."""

from sharkpack.formats.packing import LAYOUTS, packed_nbytes
from sharkpack.templates.kernels.row_tiles import MOST_TILES, STREAMS, RowTiles


def test_the_work_is_shared_out_completely() -> None:
    """Workgroups times the row tiles of each cover every row tile; none is empty."""
    for n, k in ((1, 256), (16, 256), (80, 256), (49152, 576), (151936, 896), (262144, 640)):
        nbytes = packed_nbytes(LAYOUTS["q4_1"], (n, k))
        tiles = RowTiles(n, nbytes)
        assert tiles.count == -(-n // 16)
        assert tiles.unit * sum(tiles.shares.sizes(tiles.units)) == tiles.count - tiles.count % STREAMS
        assert 0 not in tiles.shares.sizes(tiles.units)[:-1]
        assert sum(tiles.groups_of(1 << 17)) == nbytes


def test_workgroups_have_the_size_asked_for_as_far_as_tiles_allow() -> None:
    nbytes = packed_nbytes(LAYOUTS["q4_1"], (4096, 576))
    tiles = RowTiles(4096, nbytes, unit=4)
    for size in (1, 40_000, 100_000):
        groups = tiles.groups_of(size)
        tiles.resize(size)
        assert tiles.most == max(4, round(size / (nbytes / 256) / 4) * 4)
        assert len(groups) == tiles.groups


def test_a_narrow_weight_is_not_many_tiles_of_a_workgroup() -> None:
    tiles = RowTiles(1 << 18, packed_nbytes(LAYOUTS["q4_0"], (1 << 18, 64)))
    assert tiles.most == MOST_TILES
    assert tiles.groups >= (1 << 14) // MOST_TILES


def test_the_halves_of_a_block_are_one_workgroup_s() -> None:
    """Two weights read together are one stream of tiles, and a workgroup takes whole units of neighbours."""
    for n in (32, 96, 160, 1536, 4864, 8960):
        for unit in (2, 4):
            tiles = RowTiles(n, 2 * packed_nbytes(LAYOUTS["q4_1"], (n, 896)), weights=2, unit=unit)
            assert (tiles.streams, tiles.unit) == (1, unit)
            assert unit * sum(tiles.shares.sizes(tiles.units)) >= tiles.count
