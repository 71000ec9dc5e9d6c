"""The size of a folder whose content comes and goes while it is counted, as pip's does."""

import os
from pathlib import Path

import pytest

from sharkpack.bundler.sources.fetch import wheels


def test_a_folder_that_goes_while_it_is_counted_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stays", "goes"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"12345")
    scan = os.scandir

    def scan_late(path: str) -> object:
        """Plays a system in which another process removes the folder between its listing and its reading."""
        if str(path).endswith("goes"):
            raise FileNotFoundError(path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", scan_late)
    assert wheels._size_of(tmp_path) == 5
