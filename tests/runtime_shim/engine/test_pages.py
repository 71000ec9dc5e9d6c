"""PagePool: what is handed out, and what is refused."""

import pytest

from sharkpack.formats.errors import SharkpackError
from sharkpack.runtime_shim.engine.pages import PagePool


def test_hands_out_each_page_once_and_never_the_reserved() -> None:
    pool = PagePool(6)
    assert (pool.capacity, pool.available) == (5, 5)
    first, second = pool.allocate(2), pool.allocate(3)
    assert sorted(first + second) == [1, 2, 3, 4, 5]
    assert pool.available == 0


def test_takes_nothing_when_there_is_not_enough() -> None:
    pool = PagePool(4)
    with pytest.raises(SharkpackError, match="4 pages were asked for and 3 of 3 are free"):
        pool.allocate(4)
    assert pool.available == 3


def test_released_pages_are_taken_first() -> None:
    pool = PagePool(9)
    pages = pool.allocate(3)
    pool.release(pages)
    assert sorted(pool.allocate(3)) == sorted(pages)


@pytest.mark.parametrize("page", [0, 2, 99, -1])
def test_refuses_a_page_that_is_not_in_use(page: int) -> None:
    pool = PagePool(4)
    pool.allocate(1)
    with pytest.raises(ValueError, match=f"page {page} is not in use"):
        pool.release([page])


def test_refuses_a_pool_without_pages() -> None:
    with pytest.raises(SharkpackError, match="a cache of 1 pages has none to use"):
        PagePool(1)
