"""A bundle that was never written: what generating needs besides code, held in memory."""

from typing import TYPE_CHECKING

from sharkpack.formats.archive.manifest import Manifest
from sharkpack.runtime_shim.bundle.bundle import Bundle

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from sharkpack.runtime_shim.text.chat import ChatTemplate


class InMemoryBundle(Bundle):
    """Manifest, tokenizer and chat template, for an engine whose computation has its weights already."""

    def __init__(self, manifest: Manifest, tokenizer_json: bytes, chat_template: str | None) -> None:
        from tokenizers import Tokenizer

        self._manifest, self._template_text = manifest, chat_template
        self._tokenizer: Tokenizer = Tokenizer.from_buffer(tokenizer_json)

    @property
    def manifest(self) -> Manifest:
        """What a bundle would say of itself."""
        return self._manifest

    @property
    def tokenizer(self) -> "Tokenizer":
        """The tokenizer."""
        return self._tokenizer

    @property
    def chat_template(self) -> "ChatTemplate | None":
        """The chat template, or None where there is none."""
        from sharkpack.runtime_shim.text.chat import ChatTemplate

        return None if self._template_text is None else ChatTemplate(self._template_text)

    def close(self) -> None:
        """Nothing is mapped."""
