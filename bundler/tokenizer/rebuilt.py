"""A tokenizer that is ready to be packed."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuiltTokenizer:
    """A tokenizer.json, and what it does not say.

    `json` never adds a token of its own: whoever encodes a prompt puts the BOS token before it when `add_bos` holds
    and it does not begin with one already. Any of `end_token_ids` ends what is generated; the EOS token is always
    among them. `special_tokens` are texts by the names that chat templates write ("bos_token"), `chat_templates` the
    templates by name, "default" for the one to use. `notes`: what was left out, a sentence each.
    """

    json: bytes = field(repr=False)
    add_bos: bool
    add_eos: bool
    bos_token_id: int | None
    eos_token_id: int | None
    end_token_ids: tuple[int, ...]
    special_tokens: Mapping[str, str]
    chat_templates: Mapping[str, str] = field(repr=False)
    notes: tuple[str, ...] = ()

    @property
    def bos_token(self) -> str | None:
        """The text that templates write for it; None where there is none."""
        return self.special_tokens.get("bos_token") or None

    @property
    def eos_token(self) -> str | None:
        """The text that templates write for it; None where there is none."""
        return self.special_tokens.get("eos_token") or None

    @property
    def chat_template(self) -> str | None:
        """The one to use where none is named."""
        return self.chat_templates.get("default")
