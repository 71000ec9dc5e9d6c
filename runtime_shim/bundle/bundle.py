"""An opened `.shark` file: its manifest, and its tokenizer and chat template when they are asked for."""

import threading
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from sharkpack.formats.archive.manifest import Manifest
from sharkpack.formats.archive.reader import Archive
from sharkpack.runtime_shim.device.memory import give_back_freed_memory
from sharkpack.runtime_shim.device.selection import Selection, select
from sharkpack.runtime_shim.errors import BundleDamagedError, BundleUnsupportedError, RequestError
from sharkpack.runtime_shim.text.control_tokens import ControlTokens

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from sharkpack.runtime_shim.text.chat import ChatTemplate


class Bundle:
    """An archive with what the runtime reads from it. Opening maps the file and reads its manifest, no more."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self._init_texts()

    def _init_texts(self) -> None:
        self._lock = threading.Lock()
        self._tokenizer: Tokenizer | None = None
        self._control_tokens: ControlTokens | None = None
        self._compiled_templates: dict[str, ChatTemplate] = {}

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open the bundle at `path`. Raises SharkpackError for what is not a sound bundle."""
        if not isinstance(path, str | Path):
            raise RequestError(f"path is {path!r}: expected the path of a bundle, or an open Bundle")
        return cls(Archive.open(Path(path)))

    @property
    def manifest(self) -> Manifest:
        """The bundle's manifest."""
        return self.archive.manifest

    @property
    def tokenizer(self) -> "Tokenizer":
        """The tokenizer, loaded at its first use (0.1 s for 50,000 tokens). Safe from several threads."""
        with self._lock:
            if self._tokenizer is None:
                self._tokenizer = _load_tokenizer(self.archive)
            return self._tokenizer

    @property
    def control_tokens(self) -> ControlTokens:
        """The tokenizer's control tokens, made at the first use."""
        tokenizer = self.tokenizer
        with self._lock:
            if self._control_tokens is None:
                self._control_tokens = ControlTokens(tokenizer)
            return self._control_tokens

    @property
    def chat_templates(self) -> tuple[str, ...]:
        """Names of the chat templates; "default" is the one to use where none is named."""
        tokenizer = self.manifest.tokenizer
        return (*(() if tokenizer.chat_template is None else ("default",)), *sorted(tokenizer.chat_templates))

    def chat_template(self, name: str = "default") -> "ChatTemplate":
        """The compiled chat template of that name. Raises RequestError where there is none."""
        if name not in self.chat_templates:
            there = ", ".join(self.chat_templates) or "none"
            raise RequestError(f"this bundle has no chat template named {name!r}; there are: {there}")
        with self._lock:
            if name not in self._compiled_templates:
                from sharkpack.runtime_shim.text.chat import ChatTemplate

                self._compiled_templates[name] = ChatTemplate(self._template_text(name))
            return self._compiled_templates[name]

    def _template_text(self, name: str) -> str:
        tokenizer = self.manifest.tokenizer
        path = tokenizer.chat_template if name == "default" else tokenizer.chat_templates[name]
        assert path is not None
        return _text(self.archive.read(path), path)

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
