"""From what a user writes to a file or folder on this machine, fetching it where that is needed."""

from pathlib import Path
from typing import TYPE_CHECKING

from sharkpack.bundler.sources.fetch.fetch import fetch_registered
from sharkpack.bundler.sources.fetch.hub import PREFIX, fetch_from_hub, parse_reference
from sharkpack.bundler.sources.fetch.location import Location
from sharkpack.bundler.sources.fetch.registered import REGISTERED

if TYPE_CHECKING:
    from sharkpack.bundler.progress import Progress


def is_remote(argument: str) -> bool:
    """Returns whether `argument` names a model that may have to be fetched: one of the hub, or a registered one. A file
    or folder of a registered name comes first."""
    return argument.startswith(PREFIX) or (argument in REGISTERED and not Path(argument).exists())


def locate(argument: str, progress: "Progress | None") -> Location:
    """Fetch the model, or find it where it was fetched before. Raises SharkpackError when it cannot be had."""
    if argument in REGISTERED:
        return fetch_registered(REGISTERED[argument], progress)
    return fetch_from_hub(parse_reference(argument), bars=progress is not None and progress.shown)


def remote_name(argument: str) -> str:
    """Returns the name of the model, without fetching it."""
    return argument if argument in REGISTERED else parse_reference(argument).name
