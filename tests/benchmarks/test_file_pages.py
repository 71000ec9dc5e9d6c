"""The copy that lies in small pages."""

from pathlib import Path

from benchmarks.file_pages import PIECE_BYTES, copy_in_pieces


def test_the_copy_is_a_new_file_with_the_same_bytes(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(bytes(range(251)) * (PIECE_BYTES // 100))
    target.write_bytes(b"longer " * PIECE_BYTES)
    held = target.open("rb")
    copy_in_pieces(source, target)
    with held:
        assert held.read(7) == b"longer "
    assert target.read_bytes() == source.read_bytes()
