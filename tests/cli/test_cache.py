"""`sharkpack cache`: what is kept, in words and as JSON."""

import json
import os
from pathlib import Path

import pytest

from sharkpack.bundler.compile.cache import CompileCache
from tests.cli.conftest import Sharkpack

MOMENT = 1_700_000_000


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CompileCache:
    """One with two entries."""
    monkeypatch.setenv("SHARKPACK_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TZ", "UTC")
    cache = CompileCache.of_user()
    for age, (key, about) in enumerate({"a" * 64: "code for x86-64-v3", "b" * 64: "which code"}.items()):
        cache.put(key, bytes(2000), about)
        os.utime(cache.folder / key, (MOMENT - age, MOMENT - age))
    return cache


def test_list(sharkpack: Sharkpack, cache: CompileCache) -> None:
    outcome = sharkpack("cache")
    assert (outcome.status, outcome.err) == (0, "")
    head, _, first, second = outcome.out.splitlines()
    assert head.split("  ")[0] == "key begins"
    assert first.split()[:5] == ["a" * 16, "code", "for", "x86-64-v3", "2.11"]
    assert second.split()[:3] == ["b" * 16, "which", "code"]
    assert sharkpack("cache", "list").out == outcome.out
    report = json.loads(sharkpack("cache", "--json").out)
    assert report["path"] == str(cache.folder)
    assert [entry["key"] for entry in report["entries"]] == ["a" * 64, "b" * 64]
    assert report["entries"][0] == {"key": "a" * 64, "about": "code for x86-64-v3", "size": 2110, "used_at": MOMENT}


def test_size_and_clear(sharkpack: Sharkpack, cache: CompileCache) -> None:
    assert sharkpack("cache", "size").out == "4.21 kB in 2 entries, of at most 2.15 GB\n"
    report = json.loads(sharkpack("cache", "size", "--json").out)
    assert report == {"path": str(cache.folder), "entries": 2, "size": 4212, "limit": 2 << 30}
    assert sharkpack("cache", "clear").out == "4.21 kB freed\n"
    assert json.loads(sharkpack("cache", "clear", "--json").out) == {"path": str(cache.folder), "freed": 0}
    assert sharkpack("cache").out == f"{cache.folder} is empty\n"


def test_path(sharkpack: Sharkpack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARKPACK_CACHE_DIR", str(tmp_path / "not there"))
    assert sharkpack("cache", "path").out == f"{tmp_path / 'not there'}\n"
    assert json.loads(sharkpack("cache", "path", "--json").out) == {"path": str(tmp_path / "not there")}
    assert sharkpack("cache").out.endswith(" is empty\n")
    assert list(tmp_path.iterdir()) == []


def test_refusals(sharkpack: Sharkpack, cache: CompileCache, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "invalid choice: 'remove'" in sharkpack("cache", "remove").error

    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.unlink", refuse)
    assert sharkpack("cache", "clear").error == (
        f"the compile cache {cache.folder} cannot be read or changed: Permission denied; "
        "see to its permissions, or name another folder in SHARKPACK_CACHE_DIR"
    )
