"""WeightPrefetcher: which bytes it maps, that they are mapped, and that it lets go."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sharkpack.formats.archive.reader import Archive
from sharkpack.runtime_shim.executor import weight_prefetch as weight_mapper
from sharkpack.runtime_shim.executor.weight_prefetch import WeightPrefetcher, weight_ranges
from tests.runtime_shim.toy_bundle import ToyBundle

PAGE = 16384
BALLAST = 24 << 20


def _archive(*files: dict[str, tuple[int, int]]) -> Archive:
    """The part of an archive that `weight_ranges` reads: parameter files, each a name -> (offset, size)."""
    parameters = tuple(SimpleNamespace(path=str(i)) for i in range(len(files)))
    found: Any = SimpleNamespace(
        manifest=SimpleNamespace(parameters=parameters), parameter_index=lambda path: files[int(path)]
    )
    return cast(Archive, found)


def test_neighbours_are_one_range_and_an_embedding_table_beside_a_head_is_left_out() -> None:
    tied = {"a": (0, 9), "token_embd.weight": (64, 10 * PAGE)}
    assert list(weight_ranges(_archive(tied))) == [(0, 10 * PAGE + 64)]
    assert list(weight_ranges(_archive(tied | {"output.weight": (20 * PAGE, 100)}))) == [(0, 9), (20 * PAGE, 100)]
    assert list(weight_ranges(_archive({"x": (PAGE, 5)}, {"y": (64 * PAGE, 7)}))) == [(PAGE, 5), (64 * PAGE, 7)]


@pytest.fixture
def archive(toy_code: bytes, tmp_path: Path) -> Archive:
    return Archive.open(ToyBundle(code=toy_code, ballast=BALLAST).write(tmp_path / "large.shark"))


def _resident(path: Path) -> int:
    """Bytes of the file's mapping that this process has in its page tables."""
    parts = Path("/proc/self/smaps").read_text().split(f"{path}\n")[1:]
    return sum(int(part.split("Rss:")[1].split()[0]) << 10 for part in parts)


@pytest.mark.skipif(sys.platform != "linux", reason="mapping ahead is Linux's")
def test_weights_are_mapped_without_being_read(archive: Archive) -> None:
    assert _resident(archive.path) < 4 << 20
    mapper = WeightPrefetcher(archive)
    assert _resident(archive.path) < 4 << 20
    mapper.start()
    mapper.start()
    mapper._thread.join()
    assert _resident(archive.path) >= BALLAST
    mapper.stop()
    archive.close()
    assert archive.mmap.closed


@pytest.mark.skipif(sys.platform != "linux", reason="mapping ahead is Linux's")
def test_weights_that_would_fill_the_memory_are_not(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_mapper, "usable_memory", lambda: 2 * BALLAST)
    mapper = WeightPrefetcher(archive)
    mapper.start()
    mapper.stop()
    assert _resident(archive.path) < 4 << 20


def test_stopping_early_ends_it(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_mapper, "PIECE_BYTES", PAGE)
    mapper = WeightPrefetcher(archive)
    mapper.start()
    mapper.stop()
    assert not mapper._thread.is_alive()
    archive.close()
    assert archive.mmap.closed


@pytest.mark.skipif(sys.platform != "linux", reason="what is mapped is read from /proc")
def test_what_was_copied_out_of_the_file_is_mapped_no_more(archive: Archive) -> None:
    assert len(archive.read("params/model.irpa")) > BALLAST
    assert _resident(archive.path) < 4 << 20
    archive.close()
