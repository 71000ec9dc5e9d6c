"""The golden bundle holds the format still: its bytes change with the format's version, or not at all.

To make it anew after such a change: `write_sample_bundle("tests/formats/archive/golden/tiny.shark", overwrite=True)`.
"""

from pathlib import Path

import pytest

from sharkpack.formats.archive.reader import Archive
from sharkpack.formats.archive.sample_bundle import MODULE, MODULE_PATH, TOKENIZER, TOKENIZER_PATH, write_sample_bundle

GOLDEN = Path(__file__).parent / "golden" / "tiny.shark"


def test_written_bytes_are_those_of_the_golden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    write_sample_bundle(tmp_path / "tiny.shark")
    assert (tmp_path / "tiny.shark").read_bytes() == GOLDEN.read_bytes()


def test_golden_is_read() -> None:
    with Archive.open(GOLDEN) as archive:
        archive.verify()
        assert archive.read(MODULE_PATH) == MODULE
        assert archive.read(TOKENIZER_PATH) == TOKENIZER
