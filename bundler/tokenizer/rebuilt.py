"""A tokenizer that is ready to be packed."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuiltTokenizer:
    """A tokenizer.json, and what it does not say.

    `json` never adds a token of its own: whoever encodes a prompt puts the BOS token before it when `add_bos` holds
    and it does not begin with one already, and the EOS token after it when `add_eos` holds. Any of `end_token_ids`
    ends what is generated; the EOS token is always among them.
    """

    json: bytes = field(repr=False)
    add_bos: bool
    add_eos: bool
    bos_token_id: int | None
    eos_token_id: int | None
    end_token_ids: tuple[int, ...]
    bos_token: str | None
    eos_token: str | None
    chat_template: str | None = field(repr=False)
