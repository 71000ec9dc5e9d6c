"""Reads the front matter of a checkpoint's README.md: a few lines of YAML, of which strings and lists are read."""

import re
from pathlib import Path

from sharkpack.bundler.sources.advice import text, texts
from sharkpack.formats.archive.manifest import BaseModel, ModelCard

MOST_BYTES = 1 << 16
_LINE = re.compile(r"([A-Za-z_][A-Za-z0-9_-]*):(?:\s+(.*))?")
_ITEM = re.compile(r"\s*-\s+([^:]*|[a-z]+:\S.*)")

FrontMatter = dict[str, list[str]]


def read_front_matter(folder: Path) -> FrontMatter:
    """The values by key: one, or the items of a list. Empty where there is none; what is nested is left out."""
    try:
        with (folder / "README.md").open("rb") as file:
            lines = file.read(MOST_BYTES).decode("utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    if not lines or lines[0].strip() != "---":
        return {}
    found: FrontMatter = {}
    key = ""
    for line in lines[1:]:
        if line.strip() == "---":
            break
        named, item = _LINE.fullmatch(line.rstrip()), _ITEM.fullmatch(line.rstrip())
        if named:
            key = "" if named[1] in found else named[1]
            found.setdefault(named[1], _values(named[2] or ""))
        elif item and key:
            found[key].append(_unquoted(item[1]))
        elif line.strip() and not line.lstrip().startswith("#"):
            key = ""
    return found


def declared_license(matter: FrontMatter) -> str | None:
    """The value of `license:`, or where that is "other" of `license_name:`; None where nothing is declared."""
    declared = _first(matter, "license")
    return _first(matter, "license_name") or declared if declared == "other" else declared


def checkpoint_card(matter: FrontMatter) -> ModelCard:
    """Returns what the front matter says of the model."""
    return ModelCard(
        author=_first(matter, "author") or _first(matter, "model_creator"),
        organization=_first(matter, "organization"),
        description=_first(matter, "description"),
        url=_first(matter, "url") or _first(matter, "homepage"),
        license_name=_first(matter, "license_name"),
        license_link=_first(matter, "license_link"),
        base_models=tuple(map(_base_model, texts(matter.get("base_model", [])))),
        languages=texts(matter.get("language", [])),
        tags=texts(matter.get("tags", [])),
    )


def _first(matter: FrontMatter, key: str) -> str | None:
    return next((found for found in map(text, matter.get(key, [])) if found is not None), None)


def _base_model(name: str) -> BaseModel:
    owner, _, own = name.rpartition("/")
    return BaseModel(name=own, organization=owner or None)


def _values(written: str) -> list[str]:
    written = re.sub(r"\s+#.*$", "", written).strip()
    if written.startswith("[") and written.endswith("]"):
        return [_unquoted(each) for each in written[1:-1].split(",")]
    return [_unquoted(written)] if written and written not in ("|", ">", "null", "~") else []


def _unquoted(written: str) -> str:
    return written.strip().strip("\"'")
