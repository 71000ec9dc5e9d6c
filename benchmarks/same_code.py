"""`python -m benchmarks.same_code OLD NEW`: whether two bundles of one model have the same code for each target.

Reads the members as those of any ZIP archive, so that OLD may be of a format that this version does not open.
"""

import argparse
import hashlib
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from benchmarks.command import run_command
from benchmarks.processes import BenchmarkError

SUFFIX = ".vmfb"


def main(words: list[str]) -> int:
    """Print a table in Markdown. Status 1: some code differs, or only one of the bundles has it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.same_code", description=__doc__)
    parser.add_argument("bundles", nargs=2, type=Path, metavar="BUNDLE")
    old, new = (code_of(bundle) for bundle in parser.parse_args(words).bundles)
    print(table(old, new))
    return 0 if old == new else 1


def code_of(bundle: Path) -> dict[str, bytes]:
    """Target -> its code, of a bundle that has some."""
    try:
        with zipfile.ZipFile(bundle) as archive:
            members = [name for name in archive.namelist() if name.endswith(SUFFIX)]
            found = {PurePosixPath(name).parent.name: archive.read(name) for name in members}
    except (OSError, zipfile.BadZipFile) as error:
        raise BenchmarkError(f"{bundle}: {error}") from error
    if not found:
        raise BenchmarkError(f"{bundle} has no code: no member ends in {SUFFIX}")
    return found


def table(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> str:
    """A row for each target: bytes, and the beginning of the SHA-256 of both."""
    rows = ["| target | bytes | SHA-256 | |", "|---|---|---|---|"]
    for target in sorted({*old, *new}):
        both = [code.get(target) for code in (old, new)]
        sizes = [str(len(code)) if code is not None else "none" for code in both]
        hashes = [hashlib.sha256(code).hexdigest()[:16] if code is not None else "" for code in both]
        if both[0] == both[1]:
            rows.append(f"| {target} | {sizes[0]} | {hashes[0]} | same |")
        else:
            rows.append(f"| {target} | {' -> '.join(sizes)} | {' -> '.join(hashes)} | differs |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(run_command(main))
