"""Models that may have to be fetched: registered ones by name, and those of the hub. Knows no format of a model."""

from sharkpack.bundler.sources.fetch.fetch import kept_file
from sharkpack.bundler.sources.fetch.locate import is_remote, locate, remote_name
from sharkpack.bundler.sources.fetch.registered import REGISTERED, RegisteredModel

__all__ = ["REGISTERED", "RegisteredModel", "is_remote", "kept_file", "locate", "remote_name"]
