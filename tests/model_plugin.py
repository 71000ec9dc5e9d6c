"""A pytest plugin for real models: fetches them, counts the tests that ran on one, and fails a run that skipped one.

Locally a model that is neither here nor can be fetched is a skip with its reason. With CI=true, or
SHARKPACK_REQUIRE_MODELS=1, it is a failure, and so is any other skip of a real model's test.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.real_models import ModelUnavailableError, RealModels, models_are_required

MARKER = "real_model"
FIXTURE = "model_path"


@pytest.fixture(scope="session")
def model_path() -> Callable[[str], Path]:
    """`model_path("smollm2-135m")`: the path of that model's GGUF file; fetches it when it is not there yet."""
    models = RealModels()

    def model_path(name: str) -> Path:
        try:
            return models.path(name)
        except ModelUnavailableError as error:
            if models_are_required():
                pytest.fail(str(error), pytrace=False)
            pytest.skip(f"NOT RUN: {error}")

    return model_path


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{MARKER}: runs on a real model; set on every test that uses `{FIXTURE}`")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if FIXTURE in getattr(item, "fixturenames", ()):
            item.add_marker(MARKER)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    _, skipped = count_real_model_tests(session.config)
    if skipped and models_are_required() and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(config: pytest.Config, terminalreporter: pytest.TerminalReporter) -> None:
    ran, skipped = count_real_model_tests(config)
    if ran or skipped:
        required = "; none may be skipped" if skipped and models_are_required() else ""
        terminalreporter.write_line(f"real-model tests: {ran} ran, {skipped} skipped{required}")


def count_real_model_tests(config: pytest.Config) -> tuple[int, int]:
    """The number of tests of real models that ran, passed or failed, and of those that were skipped."""
    reporter: pytest.TerminalReporter | None = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return 0, 0
    counts = {
        kind: sum(MARKER in report.keywords for report in reporter.getreports(kind))
        for kind in ("passed", "failed", "skipped")
    }
    return counts["passed"] + counts["failed"], counts["skipped"]
