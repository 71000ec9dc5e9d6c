"""The caller's scheduling policy while workers compute: changed for the call alone, and only where it was the usual."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sharkpack.runtime_shim import Engine
from sharkpack.runtime_shim.executor.sched_batch import SchedBatch
from tests.runtime_shim.toy_language import continuation

pytestmark = pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="Linux has these policies")


@pytest.fixture(autouse=True)
def usual() -> Iterator[None]:
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
    yield
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def test_the_policy_is_another_inside_and_the_same_after() -> None:
    patience = SchedBatch()
    for _ in range(2):
        with patience:
            assert os.sched_getscheduler(0) == os.SCHED_BATCH
        assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_an_error_inside_changes_it_back() -> None:
    with pytest.raises(RuntimeError), SchedBatch():
        raise RuntimeError
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_a_policy_of_the_program_s_own_is_left_alone() -> None:
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    with SchedBatch():
        assert os.sched_getscheduler(0) == os.SCHED_BATCH
    assert os.sched_getscheduler(0) == os.SCHED_BATCH


def test_a_sandbox_may_refuse_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    with SchedBatch():
        assert os.sched_getscheduler(0) == os.SCHED_OTHER
    monkeypatch.undo()


def test_a_system_without_policies_has_none_to_change(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SCHED_BATCH", "sched_getscheduler", "sched_setscheduler"):
        monkeypatch.delattr(os, name)
    with SchedBatch():
        pass
    monkeypatch.undo()


def test_an_engine_waits_so_for_each_call(toy_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    class Watched:
        def __init__(self, context: Any) -> None:
            self.context = context

        def invoke(self, *arguments: Any) -> Any:
            seen.append(os.sched_getscheduler(0))
            return self.context.invoke(*arguments)

    with Engine.open(toy_bundle) as engine:
        native = engine._executor._native  # type: ignore[attr-defined]
        monkeypatch.setattr(native, "_context", Watched(native._context))
        assert list(engine.complete([1, 2, 3], max_tokens=3).token_ids) == continuation([1, 2, 3], 3)
        assert os.sched_getscheduler(0) == os.SCHED_OTHER
        monkeypatch.undo()
    assert seen
    assert set(seen) == {os.SCHED_BATCH}
