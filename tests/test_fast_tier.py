"""The fast tier: which files are in it."""

from tests.fast_tier import SLOW, TESTS, is_fast


def test_slow_paths_exist() -> None:
    assert [path for path in SLOW if not (TESTS / path).exists()] == []


def test_files_are_fast_unless_a_folder_of_theirs_is_slow() -> None:
    assert is_fast(TESTS / "formats" / "quant" / "test_quant.py")
    assert not is_fast(TESTS / "end_to_end" / "test_golden.py")
    assert not is_fast(TESTS.parent / "elsewhere" / "test_golden.py")
