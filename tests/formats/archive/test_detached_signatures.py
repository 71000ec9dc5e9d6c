"""Detached signatures: behind the manifest, not listed in it, added and taken away without touching what they sign."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sharkpack.formats.archive.compressed import Compressed
from sharkpack.formats.archive.detached_signatures import MAX_SIGNATURE_BYTES, MAX_SIGNATURES
from sharkpack.formats.archive.editor import write_signatures
from sharkpack.formats.archive.reader import Archive
from sharkpack.formats.archive.sample_bundle import (
    MODULE,
    MODULE_PATH,
    TOKENIZER,
    sample_manifest,
    write_sample_bundle,
)
from sharkpack.formats.archive.writer import ArchiveWriter
from sharkpack.formats.errors import SharkpackError
from tests.formats.archive.archive_edits import GOOD, Entries, assemble, entries, patch, record, with_manifest

SIGNED = (("a.minisig", b"signed by a"), ("b.sshsig", b"\0signed by b"))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write_sample_bundle(tmp_path / "tiny.shark")
    return tmp_path / "tiny.shark"


def signed(*signatures: tuple[str, bytes]) -> bytes:
    """The golden bundle with members behind its manifest."""
    behind: Entries = [(f"signatures/{name}", data) for name, data in signatures]
    return assemble([*entries(GOOD), *behind])


def test_they_are_read_and_so_is_what_they_sign(opened: Callable[[bytes], Archive]) -> None:
    with opened(signed(*SIGNED)) as archive:
        archive.verify()
        assert archive.signatures == ("a.minisig", "b.sshsig")
        assert {name: archive.signature(name) for name in archive.signatures} == dict(SIGNED)
        assert archive.signed_bytes() == entries(GOOD)[-1][1]
        assert archive.read(MODULE_PATH) == MODULE


def test_the_editor_adds_replaces_and_takes_away(bundle: Path) -> None:
    before = bundle.read_bytes()
    write_signatures(bundle, dict(reversed(SIGNED)))
    assert bundle.read_bytes() == signed(*SIGNED)
    write_signatures(bundle, {"a.minisig": b"another"})
    assert bundle.read_bytes() == signed(("a.minisig", b"another"))
    write_signatures(bundle, {})
    assert bundle.read_bytes() == before
    assert [path.name for path in bundle.parent.iterdir()] == ["tiny.shark"]


def test_the_writer_writes_the_same_bytes(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "signed.shark") as writer:
        _add_members(writer)
        writer.finish(entries(GOOD)[-1][1])
        for name, data in SIGNED:
            writer.add_signature(name, data)
        assert [member.path for member in writer.members] == [path for path, _ in entries(GOOD)[:-1]]
    assert (tmp_path / "signed.shark").read_bytes() == signed(*SIGNED)


def _add_members(writer: ArchiveWriter) -> None:
    """Those of the golden bundle between the first and the manifest."""
    for path, data in entries(GOOD)[1:-1]:
        if path.endswith(".zst"):
            writer.add_compressed(path, Compressed(frame=data, content_size=len(TOKENIZER)))
        else:
            writer.add(path, data)


def test_the_writer_takes_them_after_the_manifest_only(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "x.shark") as writer:
        with pytest.raises(SharkpackError, match="signature 'signatures/a' comes before the manifest, which it signs"):
            writer.add_signature("a", b"x")
        with pytest.raises(SharkpackError, match="member 'signatures/a' comes before what it signs"):
            writer.add("signatures/a", b"x")
        _add_members(writer)
        writer.finish(sample_manifest(writer.members).to_json())
        writer.add_signature("b", b"x")
        with pytest.raises(SharkpackError, match="not in the order of their names: signatures/b, signatures/a"):
            writer.add_signature("a", b"x")


def _list_signature(manifest: dict[str, Any]) -> None:
    manifest["members"].append(manifest["members"][1] | {"path": "signatures/a"})


HOSTILE: dict[str, tuple[bytes, str]] = {
    "another member behind the manifest": (
        assemble([*entries(GOOD), ("more", b"x")]),
        "member 'more' follows the manifest and is no signature",
    ),
    "a folder of signatures": (signed(("a/b", b"x")), "'signatures/a/b' follows the manifest and is no signature"),
    "compressed": (signed(("a.zst", b"x")), "'signatures/a.zst' follows the manifest and is no signature"),
    "another order": (signed(*reversed(SIGNED)), "not in the order of their names"),
    "the same twice": (signed(SIGNED[0], SIGNED[0]), "member 'signatures/a.minisig' appears twice"),
    "the same where case is ignored": (signed(("A", b"x"), ("a", b"x")), "collides with"),
    "unsafe name": (signed(("..", b"x")), "unsafe member name"),
    "empty": (signed(("a", b"")), f"'signatures/a' has 0 bytes; expected 1 to {MAX_SIGNATURE_BYTES}"),
    "too large": (
        signed(("a", bytes(MAX_SIGNATURE_BYTES + 1))),
        f"'signatures/a' has {MAX_SIGNATURE_BYTES + 1} bytes; expected 1 to {MAX_SIGNATURE_BYTES}",
    ),
    "too many": (
        signed(*((f"s{index:02}", b"x") for index in range(MAX_SIGNATURES + 1))),
        f"{MAX_SIGNATURES + 1} signatures; at most {MAX_SIGNATURES} are allowed",
    ),
    "before the manifest": (
        assemble([*entries(GOOD)[:-1], ("signatures/a", b"x"), entries(GOOD)[-1]]),
        "the manifest lists other members",
    ),
    "instead of the manifest": (
        assemble([*entries(GOOD)[:-1], ("signatures/a", b"x")]),
        "the last member is 'signatures/a', not 'manifest.json'",
    ),
    "a second manifest": (assemble([*entries(GOOD), entries(GOOD)[-1]]), "member 'manifest.json' appears twice"),
    "listed in the manifest": (
        assemble([*entries(with_manifest(GOOD, _list_signature)), ("signatures/a", b"x")]),
        r"'members\[4\].path': 'signatures/a' is listed; signatures follow the manifest and are not",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_may_not_follow_the_manifest(name: str, opened: Callable[[bytes], Archive]) -> None:
    data, message = HOSTILE[name]
    with pytest.raises(SharkpackError, match=message):
        opened(data)


def test_damage_is_found_when_it_is_read(opened: Callable[[bytes], Archive]) -> None:
    good = signed(*SIGNED)
    with opened(patch(good, record(good, "signatures/b.sshsig").data_offset, b"!")) as archive:
        assert archive.signature("a.minisig") == SIGNED[0][1]
        for read in (lambda: archive.signature("b.sshsig"), archive.verify):
            with pytest.raises(SharkpackError, match=r"'signatures/b.sshsig' is damaged: its CRC-32 differs"):
                read()


def test_one_that_is_not_there_is_named(opened: Callable[[bytes], Archive]) -> None:
    with opened(GOOD) as archive, pytest.raises(SharkpackError, match="no signature 'a'"):
        archive.signature("a")


@pytest.mark.parametrize("name", ["", "../a", "a/b", "a.zst"])
def test_the_editor_refuses_names_and_leaves_the_file(name: str, bundle: Path) -> None:
    before = bundle.read_bytes()
    with pytest.raises(SharkpackError):
        write_signatures(bundle, {name: b"x"})
    assert bundle.read_bytes() == before
