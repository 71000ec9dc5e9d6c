"""The note of a parameter file on a tensor, for people and tools and no program: `q4_k 896x4864`."""

import re

_NOTE = re.compile(r"([0-9a-z_]+) (\d+(?:x\d+)*)")


def write_note(type_name: str, shape: tuple[int, ...]) -> bytes:
    """The note of a tensor of that type (a layout's name, or `f32`) and shape."""
    return f"{type_name} {'x'.join(map(str, shape))}".encode("ascii")


def read_note(note: bytes) -> tuple[str, tuple[int, ...]] | None:
    """Type and shape; None for whatever else another tool keeps there."""
    found = _NOTE.fullmatch(note.decode("ascii", errors="replace"))
    return None if found is None else (found[1], tuple(map(int, found[2].split("x"))))
