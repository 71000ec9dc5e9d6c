"""Making text from a file fit into a message: names there may hold line breaks, control characters, or a megabyte."""

_LONGEST = 400


def printable(text: str) -> str:
    """`text` with what does not print escaped: a terminal obeys some of it."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def one_line(text: str) -> str:
    """`printable`, and its middle left out when it is very long."""
    text = printable(text)
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"
    return text
