"""The store: what is put is got, whole or not at all, within its bounds, whatever happens to its files."""

import os
import stat
from pathlib import Path

import pytest

from sharkpack.bundler.compile.cache import CompileCache
from sharkpack.bundler.compile.cache.settings import DEFAULT_LIMIT, cache_folder, cache_limit
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.io.temporary import hold, temporary_path

KEY, OTHER = "a" * 64, "b" * 64


@pytest.fixture
def cache(tmp_path: Path) -> CompileCache:
    return CompileCache(tmp_path / "made" / "when needed", limit=1 << 20)


def _use_at(cache: CompileCache, key: str, moment: float) -> None:
    os.utime(cache.folder / key, (moment, moment))


def test_what_is_put_is_got(cache: CompileCache) -> None:
    assert cache.get(KEY) is None
    assert cache.entries() == []
    cache.put(KEY, b"code\n\0\xff", "code for a target")
    cache.put(OTHER, b"", "nothing")
    assert cache.get(KEY) == b"code\n\0\xff"
    assert cache.get(OTHER) == b""
    cache.put(KEY, b"newer", "code for a target")
    assert cache.get(KEY) == b"newer"
    assert {(entry.key, entry.about) for entry in cache.entries()} == {(KEY, "code for a target"), (OTHER, "nothing")}
    assert sum(entry.size for entry in cache.entries()) == sum(p.stat().st_size for p in cache.folder.iterdir())
    assert stat.S_IMODE(cache.folder.stat().st_mode) == 0o700
    assert cache.problem is None


@pytest.mark.parametrize("position", [0, 20, -41, -1], ids=["header", "hash", "newline", "data"])
def test_a_damaged_entry_is_removed(cache: CompileCache, position: int) -> None:
    cache.put(KEY, b"0123456789" * 4, "code")
    path = cache.folder / KEY
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    assert cache.get(KEY) is None
    assert not path.exists()


@pytest.mark.parametrize("size", [0, 1, 60, -1])
def test_a_truncated_entry_is_removed(cache: CompileCache, size: int) -> None:
    cache.put(KEY, b"0123456789" * 4, "code")
    path = cache.folder / KEY
    path.write_bytes(path.read_bytes()[:size])
    assert [entry.about for entry in cache.entries()] == ["code" if size == -1 else "damaged"]
    assert cache.get(KEY) is None
    assert not path.exists()


def test_an_entry_under_the_name_of_another_is_damaged(cache: CompileCache) -> None:
    cache.put(KEY, b"code", "code")
    (cache.folder / KEY).rename(cache.folder / OTHER)
    assert cache.get(OTHER) is None


def test_the_least_recently_used_go_first(cache: CompileCache) -> None:
    cache.limit = 4000
    for number, key in enumerate("abc"):
        cache.put(key, bytes(1000), "code")
        _use_at(cache, key, 1000 + number)
    assert cache.get("a") is not None  # used now, and so the youngest
    cache.put("d", bytes(1000), "code")
    assert {entry.key for entry in cache.entries()} == {"a", "c", "d"}
    assert sum(entry.size for entry in cache.entries()) <= cache.limit


def test_what_is_larger_than_the_whole_cache_is_not_kept(cache: CompileCache) -> None:
    cache.limit = 1000
    cache.put("small", b"code", "code")
    cache.put("large", bytes(1000), "code")
    assert [entry.key for entry in cache.entries()] == ["small"]


def test_what_a_killed_build_left_goes_and_what_a_living_one_writes_stays(cache: CompileCache) -> None:
    cache.put(KEY, b"code", "code")
    left, held = (temporary_path(cache.folder, ".partial-") for _ in range(2))
    left.write_bytes(b"half")
    with held.open("xb") as file:
        assert hold(file.fileno(), held)
        cache.put(OTHER, b"code", "code")
        assert (left.exists(), held.exists()) == (False, True)
        assert {entry.key for entry in cache.entries()} == {KEY, OTHER}
        left.write_bytes(b"half")
        assert cache.clear() > 0
        assert list(cache.folder.iterdir()) == [held]
    cache.clear()
    assert list(cache.folder.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_read(cache: CompileCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permissions do not bind the superuser, who often runs tests: the system calls are what refuses."""
    cache.put(KEY, b"code", "code")

    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(30, "Read-only file system")

    for name in ("os.utime", "os.open"):
        monkeypatch.setattr(name, refuse)
    assert cache.get(KEY) == b"code"
    assert cache.problem is None
    cache.put(OTHER, b"code", "code")
    assert cache.problem == f"the compile cache {cache.folder} cannot be used: Read-only file system"
    assert cache.get(KEY) == b"code"
    assert [entry.key for entry in cache.entries()] == [KEY]


def test_a_full_disk_leaves_nothing_half_written(cache: CompileCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.put(KEY, b"code", "code")

    def refuse(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", refuse)
    cache.put(OTHER, b"code", "code")
    assert cache.problem is not None
    assert [path.name for path in cache.folder.iterdir()] == [KEY]


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    cache = CompileCache(tmp_path / "file", limit=1 << 20)
    assert cache.get(KEY) is None
    assert cache.problem == f"the compile cache {tmp_path / 'file'} cannot be used: Not a directory"
    cache.put(KEY, b"code", "code")
    assert (tmp_path / "file").read_text() == "mine"


def test_the_environment_names_folder_and_size(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SHARKPACK_CACHE_DIR", str(tmp_path / "mine"))
    monkeypatch.setenv("SHARKPACK_CACHE_SIZE", "3M")
    cache = CompileCache.of_user()
    assert (cache.folder, cache.limit) == (tmp_path / "mine", 3 << 20)
    monkeypatch.delenv("SHARKPACK_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "sharkpack" / "compile"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == Path.home() / ".cache" / "sharkpack" / "compile"


@pytest.mark.parametrize(
    ("text", "size"), [("", DEFAULT_LIMIT), ("0", 0), ("1000", 1000), ("5K", 5120), ("2G", 2 << 30)]
)
def test_sizes(monkeypatch: pytest.MonkeyPatch, text: str, size: int) -> None:
    monkeypatch.setenv("SHARKPACK_CACHE_SIZE", text)
    assert cache_limit() == size


def test_a_size_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARKPACK_CACHE_SIZE", "2 GiB")
    with pytest.raises(SharkpackError, match="SHARKPACK_CACHE_SIZE is '2 GiB'; expected a number of bytes"):
        cache_limit()
