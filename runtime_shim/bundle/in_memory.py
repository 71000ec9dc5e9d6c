"""A bundle that was never written: what generating needs besides code, held in memory."""

from collections.abc import Mapping

from sharkpack.formats.archive.manifest import Manifest
from sharkpack.runtime_shim.bundle.bundle import Bundle


class InMemoryBundle(Bundle):
    """Manifest, tokenizer and chat templates by name, for an engine whose computation has its weights already."""

    def __init__(self, manifest: Manifest, tokenizer_json: bytes, chat_templates: Mapping[str, str]) -> None:
        from tokenizers import Tokenizer

        self._init_texts()
        self._manifest, self._templates = manifest, chat_templates
        self._tokenizer = Tokenizer.from_buffer(tokenizer_json)

    @property
    def manifest(self) -> Manifest:
        """The manifest that a bundle would have."""
        return self._manifest

    def _template_text(self, name: str) -> str:
        return self._templates[name]

    def close(self) -> None:
        """Nothing is mapped."""
