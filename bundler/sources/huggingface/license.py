"""The licence that a checkpoint declares: in the front matter of its README.md, a few lines of YAML."""

from pathlib import Path

MOST_BYTES = 1 << 16


def read_license(folder: Path) -> str | None:
    """The value of `license:`, or where that is "other" of `license_name:`; None where nothing is declared."""
    try:
        with (folder / "README.md").open("rb") as file:
            lines = file.read(MOST_BYTES).decode("utf-8", errors="replace").splitlines()
    except OSError:
        return None
    if not lines or lines[0].strip() != "---":
        return None
    found = dict[str, str]()
    for line in lines[1:]:
        if line.strip() == "---":
            break
        key, _, value = line.partition(":")
        found.setdefault(key, value.strip().strip("\"'"))
    declared = found.get("license")
    return found.get("license_name", declared) if declared == "other" else declared or None
