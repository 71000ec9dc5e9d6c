"""Compiled code kept from one build to the next, under keys that hold all that it was made from."""

from sharkpack.bundler.compile.cache.store import CacheEntry, CompileCache

__all__ = ["CacheEntry", "CompileCache"]
