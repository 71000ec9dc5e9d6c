"""Attacks on what an archive holds: manifests that lie, members that are not what they are said to be, other files."""

import json
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from sharkpack.formats.archive.reader import Archive
from sharkpack.formats.archive.sample_bundle import (
    MODULE_PATH,
    PARAMETERS_PATH,
    TOKENIZER,
    TOKENIZER_PATH,
)
from sharkpack.formats.errors import SharkpackError
from tests.formats.archive.archive_edits import GOOD, entries, patch, record, with_content, with_manifest

MANIFEST_ATTACKS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "newer major": (lambda m: m["format"].update(major=2), "format version 2.0; .*: upgrade sharkpack"),
    "unknown feature": (
        lambda m: m["format"].update(required_features=["x"]),
        "the bundle needs the feature 'x', unknown here: upgrade sharkpack",
    ),
    "member unlisted": (lambda m: m["members"].pop(0), "the manifest lists other members"),
    "member at another offset": (lambda m: m["members"][1].update(offset=0), "the manifest lists other members"),
    "member of another size": (lambda m: m["members"][1].update(size=2**62), "the manifest lists other members"),
    "members in another order": (lambda m: m["members"].reverse(), "the manifest lists other members"),
    "members that are not there": (
        lambda m: m["members"].append(m["members"][1] | {"path": "more"}),
        "the manifest lists other members",
    ),
    "module that is not there": (lambda m: m["targets"][0].update(path="x"), r"'targets\[0\].path': no member 'x'"),
    "bomb of the declared size": (
        lambda m: m["members"][2].update(content_size=2**40),
        r"'members\[2\].content_size': 1099511627776 is more than",
    ),
    "deep nesting": (lambda m: m.update(x=json.loads("[" * 50 + "]" * 50)), "nests deeper than 16 levels"),
}

ZSTD = zstandard.ZstdCompressor()
FRAMES = {
    "content larger than declared": ZSTD.compress(bytes(10_000_000)),
    "content smaller than declared": ZSTD.compress(TOKENIZER[:-1]),
    "frame without a size": zstandard.ZstdCompressor(write_content_size=False).compress(TOKENIZER),
    "two frames": ZSTD.compress(TOKENIZER) + ZSTD.compress(TOKENIZER),
    "bytes after the frame": ZSTD.compress(TOKENIZER) + b"\0",
    "frame cut short": ZSTD.compress(TOKENIZER)[:-1],
    "no frame": b"plain",
    "nothing": b"",
    # A frame whose header says 26 bytes (as declared) and whose one RLE block makes 100,000 of them.
    "content larger than its own header says": b"\x28\xb5\x2f\xfd\x20\x1a"
    + struct.pack("<I", 100_000 << 3 | 3)[:3]
    + b"a",
    # Window of 2^41 bytes, announced size of 26.
    "window of a terabyte": b"\x28\xb5\x2f\xfd\x80\xf8" + struct.pack("<I", 26) + b"\x01\0\0",
}


@pytest.mark.parametrize("name", MANIFEST_ATTACKS)
def test_manifest_attacks(name: str, opened: Callable[[bytes], Archive]) -> None:
    change, message = MANIFEST_ATTACKS[name]
    with pytest.raises(SharkpackError, match=rf"evil\.shark: .*{message}"):
        opened(with_manifest(GOOD, change))


def test_message_stays_short(opened: Callable[[bytes], Archive]) -> None:
    with pytest.raises(SharkpackError, match="minimum_runtime") as caught:
        opened(with_manifest(GOOD, lambda m: m.update(minimum_runtime="\x1b" * 100_000)))
    assert len(str(caught.value)) < 1000
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", FRAMES)
def test_zstd_attacks(name: str, opened: Callable[[bytes], Archive]) -> None:
    with opened(with_content(GOOD, TOKENIZER_PATH, FRAMES[name], len(TOKENIZER))) as archive:
        message = "member 'tokenizer/tokenizer.json.zst' is not one zstd frame of 26 bytes"
        with pytest.raises(SharkpackError, match=message):
            archive.read(TOKENIZER_PATH)
        with pytest.raises(SharkpackError, match=message):
            archive.verify()


@pytest.mark.parametrize("path", ["mimetype", PARAMETERS_PATH, TOKENIZER_PATH, MODULE_PATH])
def test_flipped_byte_in_any_member(path: str, opened: Callable[[bytes], Archive]) -> None:
    place = record(GOOD, path)
    evil = patch(GOOD, place.end - 1, bytes([GOOD[place.end - 1] ^ 1]))
    if path == "mimetype":
        with pytest.raises(SharkpackError, match="not a sharkpack bundle"):
            opened(evil)
        return
    with opened(evil) as archive:
        with pytest.raises(SharkpackError, match=f"member '{path}' is damaged: its SHA-256 differs"):
            archive.read(path)
        with pytest.raises(SharkpackError, match=f"member '{path}' is damaged: its hash differs"):
            archive.verify()


def test_tensor_outside_its_parameter_file(opened: Callable[[bytes], Archive]) -> None:
    content = bytearray(dict(entries(GOOD))[PARAMETERS_PATH])
    struct.pack_into("<Q", content, 96 + 68, 2**40)  # the size of the first tensor
    with opened(with_content(GOOD, PARAMETERS_PATH, bytes(content))) as archive:
        message = (
            r"evil\.shark: params/model\.irpa: parameter file: tensor 'token_embd.weight' .* is outside its storage"
        )
        with pytest.raises(SharkpackError, match=message):
            archive.parameter_index(PARAMETERS_PATH)
        with pytest.raises(SharkpackError, match=message):
            archive.verify()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"GGUF\3\0\0\0", "not a sharkpack bundle but a GGUF file; make a bundle of it with 'sharkpack build'"),
        (b"IRPA\0\0\0\0", "not a sharkpack bundle but an IREE parameter archive"),
        (b"<html>not found</html>", "not a sharkpack bundle but a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "not a sharkpack bundle but a Git LFS pointer"),
    ],
)
def test_other_files(content: bytes, message: str, opened: Callable[[bytes], Archive]) -> None:
    with pytest.raises(SharkpackError, match=message):
        opened(content)


def test_zip_made_by_another_tool(tmp_path: Path) -> None:
    path = tmp_path / "other.shark"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries(GOOD):
            archive.writestr(name, content)
    with pytest.raises(SharkpackError, match="not a sharkpack bundle but some other ZIP archive"):
        Archive.open(path)


def test_files_that_cannot_be_mapped(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, found in ((tmp_path, "but a folder: name a file"), (tmp_path / "pipe", "is not a regular file")):
        with pytest.raises(SharkpackError, match=found):
            Archive.open(path)
    with pytest.raises(SharkpackError, match=r"nowhere\.shark: cannot open: no such file"):
        Archive.open(tmp_path / "nowhere.shark")


@pytest.mark.parametrize("name", ["program.mlir", "program.py", "program.py:factory"])
def test_a_program_is_built_first(tmp_path: Path, name: str) -> None:
    with pytest.raises(SharkpackError) as error:
        Archive.open(tmp_path / name)
    expected = f"{tmp_path / name} is a program, not a sharkpack bundle; make a bundle of it with 'sharkpack build'"
    assert str(error.value) == expected
