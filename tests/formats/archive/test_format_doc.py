"""docs/format.md says what the code does, as far as a test can tell."""

import re
from collections.abc import Iterator
from importlib import resources
from json import loads
from pathlib import Path
from typing import Any

import pytest

from sharkpack.formats.archive.manifest import FORMAT_MAJOR, FORMAT_MINOR, MAX_CONTENT_BYTES, MAX_MANIFEST_BYTES
from sharkpack.formats.archive.member_path import MAX_PATH_LENGTH
from sharkpack.formats.archive.zip_records import DATA_ALIGNMENT, END_SIZE, MAX_MEMBERS
from sharkpack.formats.io.json_values import MAX_JSON_DEPTH
from sharkpack.formats.model_files.irpa import plan_irpa
from sharkpack.formats.packing import LAYOUTS

DOC = (Path(__file__).parents[3] / "docs" / "format.md").read_text()
SCHEMA = loads((resources.files("sharkpack.formats.archive") / "manifest.schema.json").read_text())


def rows() -> Iterator[list[str]]:
    for line in DOC.splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def test_versions_and_limits() -> None:
    assert f"version {FORMAT_MAJOR}.{FORMAT_MINOR}" in DOC
    assert f"multiple of **{DATA_ALIGNMENT}** bytes" in DOC
    assert f"at most {MAX_MEMBERS} members" in DOC.replace("\n", " ")
    assert f"at most {MAX_PATH_LENGTH} characters" in DOC
    assert f"**End**, {END_SIZE} bytes" in DOC
    assert f"at most {MAX_MANIFEST_BYTES >> 20} MiB and {MAX_JSON_DEPTH} levels" in DOC.replace("\n", " ")
    assert f"shall not exceed {MAX_CONTENT_BYTES >> 20} MiB" in DOC


def table_values(letter: str) -> list[int]:
    """The values of a table of codes, by its letter; 0 where a code is unused."""
    text = re.search(rf"^\| {letter} \| (.*) \|$", DOC, re.MULTILINE)
    assert text
    words = text[1].replace("\N{MINUS SIGN}", "-").replace("(unused)", "0")
    half, mirrored, _ = words.partition(", then the same negative")
    values = [int(word) for word in half.split()]
    return values + [-value for value in values] if mirrored else values


@pytest.mark.parametrize("name", LAYOUTS)
def test_tiles(name: str) -> None:
    row = next(cells for cells in rows() if f"`{name}`" in cells[0].split(", ") and len(cells) == 6)
    layout = LAYOUTS[name]
    assert [int(row[3]), int(row[4])] == [layout.tile_k, layout.tile_bytes]
    if layout.values is not None:
        assert table_values(row[2].removeprefix("table ")) == list(layout.values)
    elif layout.zero_point is not None:
        assert int(row[2]) == layout.zero_point
    if layout.kind != "float":
        tile = row[5].replace("\N{MULTIPLICATION SIGN}", "*")
        sizes = re.findall(r"(?:([0-9]+) \* )?([0-9]+)", tile)
        assert sum(int(times or 1) * int(size) for times, size in sizes) == layout.tile_bytes


def test_irpa_figures() -> None:
    plan = plan_irpa([("a", 1)])
    assert plan.header[8] == 88
    assert plan.header[40] == 96
    assert plan.header[48] == 80
    assert plan.header[96] == 76
    assert all(figure in DOC for figure in ("88 bytes", "offset 96", "every 80 bytes", "76 of them used"))


def test_every_key_of_the_manifest_is_described() -> None:
    described = {key for cells in rows() for key in re.findall(r"[a-z_0-9]+", cells[0])}

    def keys(node: dict[str, Any]) -> Iterator[str]:
        for key, inner in node.get("properties", {}).items():
            yield key
            yield from keys(inner)
            yield from keys(inner.get("items", {}))
        for variant in node.get("allOf", ()):
            yield from keys(variant["then"])

    assert set(keys(SCHEMA)) <= described
