"""A pytest plugin: marks the tests for the inner loop, which run in under two minutes on two cores.

`scripts/check fast` runs them. A test is fast unless it runs on a real model or lies under one of SLOW.
"""

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
SLOW = {
    "benchmarks": "compiles kernels, and starts processes that measure",
    "bundler/compile/test_compiler.py": "compiles programs",
    "bundler/compile/test_trace.py": "traces models of every architecture",
    "bundler/quantize/test_importance.py": "runs models of every architecture in transformers",
    "bundler/sources/fetch": "downloads by pip from a server of its own",
    "bundler/sources/huggingface/test_logits.py": "runs models of every architecture in transformers",
    "end_to_end": "builds and runs bundles",
    "examples": "builds and runs bundles",
    "runtime_shim/test_process.py": "starts a process for each test",
    "templates/architectures": "runs models of every architecture in transformers",
    "templates/kernels": "compiles kernels",
    "templates/lowering": "compiles programs",
}
"""Files and folders in tests/ that take more than a few seconds, and why."""

MARKER = "fast"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{MARKER}: of the inner loop; run with `scripts/check fast`")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if is_fast(item.path) and "model_path" not in getattr(item, "fixturenames", ()):
            item.add_marker(MARKER)


def is_fast(path: Path) -> bool:
    """Returns whether the tests of a file are fast but for those on a real model."""
    return path.is_relative_to(TESTS) and not any(path.is_relative_to(TESTS / slow) for slow in SLOW)
