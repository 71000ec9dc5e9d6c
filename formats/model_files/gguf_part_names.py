"""Names of the files of a GGUF model in parts: NAME-00001-of-00003.gguf and so on. Knows names only."""

import re

_PART = re.compile(r"(.+)-\d{5}-of-(\d{5})\.gguf")


def whole_name(name: str) -> str:
    """The name of the model that a file so named is a part of: model.gguf for model-00001-of-00003.gguf."""
    part = _PART.fullmatch(name)
    return name if part is None else f"{part[1]}.gguf"


def part_names(name: str) -> list[str]:
    """The files that make the model of which one has this name, in order: itself where it is no part."""
    part = _PART.fullmatch(name)
    if part is None:
        return [name]
    return [f"{part[1]}-{number:05}-of-{part[2]}.gguf" for number in range(1, int(part[2]) + 1)]
