"""An opened `.shark` file: its manifest, and its tokenizer and chat template when they are asked for."""

import threading
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from sharkpack.formats.archive.manifest import Manifest
from sharkpack.formats.archive.reader import Archive
from sharkpack.runtime_shim.device.memory import give_back_freed_memory
from sharkpack.runtime_shim.device.selection import Selection, select
from sharkpack.runtime_shim.errors import BundleDamagedError, BundleUnsupportedError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from sharkpack.runtime_shim.text.chat import ChatTemplate


class Bundle:
    """An archive with what the runtime reads from it. Opening maps the file and reads its manifest, no more."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self._lock = threading.Lock()
        self._tokenizer: Tokenizer | None = None
        self._chat_template: ChatTemplate | None = None

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open the bundle at `path`. Raises SharkpackError for what is not a sound bundle."""
        return cls(Archive.open(Path(path)))

    @property
    def manifest(self) -> Manifest:
        """What the bundle says of itself."""
        return self.archive.manifest

    @property
    def tokenizer(self) -> "Tokenizer":
        """The tokenizer, loaded at its first use (0.1 s for 50,000 tokens). Safe from several threads."""
        with self._lock:
            if self._tokenizer is None:
                self._tokenizer = _load_tokenizer(self.archive)
            return self._tokenizer

    @property
    def chat_template(self) -> "ChatTemplate | None":
        """The compiled chat template, or None where the bundle has none."""
        path = self.manifest.tokenizer.chat_template
        if self._chat_template is None and path is not None:
            from sharkpack.runtime_shim.text.chat import ChatTemplate

            self._chat_template = ChatTemplate(_text(self.archive.read(path), path))
        return self._chat_template

    def select(self, *, device: str = "auto", target: str | None = None) -> Selection:
        """The target and device that this machine would run; see `sharkpack.runtime_shim.device.selection.select`."""
        return select(self.manifest, device=device, target=target)

    def close(self) -> None:
        """Unmap the file. Nothing that reads from the mapping (an Engine) may be open."""
        self.archive.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _load_tokenizer(archive: Archive) -> "Tokenizer":
    from tokenizers import Tokenizer

    path = archive.manifest.tokenizer.path
    try:
        tokenizer: Tokenizer = Tokenizer.from_buffer(archive.read(path))
    except ValueError as error:  # what tokenizers raises for a file that it cannot read
        raise BundleUnsupportedError(f"{path} is not a tokenizer that this version can load: {error}") from error
    give_back_freed_memory()
    return tokenizer


def _text(data: bytes, path: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BundleDamagedError(f"{path} is not UTF-8: {error}") from error
