"""sharkpack: one command packs a language model into one file, one command runs it."""

__version__ = "0.1.0"
