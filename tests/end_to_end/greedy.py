"""Greedy decoding that goes on past the end of a text, as the golden outputs do."""

from collections.abc import Sequence

from sharkpack.runtime_shim import Engine


def greedy(engine: Engine, prompt_ids: Sequence[int], count: int) -> list[int]:
    """Greedy decoding of `count` tokens after a prompt; where the model ends the text, from after the end token on."""
    tokens: list[int] = []
    while len(tokens) < count:
        result = engine.generate([*prompt_ids, *tokens], max_tokens=count - len(tokens)).result()
        tokens += result.token_ids
        if result.finish_reason == "stop":
            tokens.append(int(engine.logits([*prompt_ids, *tokens]).argmax()))
    return tokens
