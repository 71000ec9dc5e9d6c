"""From what a user writes to a file or folder on this machine, fetching it where that is needed."""

from typing import TYPE_CHECKING

from sharkpack.bundler.sources.hub import PREFIX, fetch_from_hub, parse_reference
from sharkpack.bundler.sources.location import Location

if TYPE_CHECKING:
    from sharkpack.bundler.options import Progress


def is_remote(argument: str) -> bool:
    """Whether `argument` names a model that has to be fetched, not a path."""
    return argument.startswith(PREFIX)


def locate(argument: str, progress: "Progress | None") -> Location:
    """Fetch the model, or find it where it was fetched before. Raises SharkpackError when it cannot be had."""
    return fetch_from_hub(parse_reference(argument), bars=progress is not None and progress.shown)


def remote_name(argument: str) -> str:
    """What the model is called, without fetching it."""
    return parse_reference(argument).name
