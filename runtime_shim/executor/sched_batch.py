"""SCHED_BATCH for a thread that waits for IREE's workers: it takes no processor from one of them."""

import os
from types import TracebackType


class SchedBatch:
    """While it is entered, the calling thread, once woken, waits until a processor is free. Linux only.

    The last worker of a call wakes the caller in a callback, and the caller spins until that callback has ended
    (IREE 3.13, async/semaphore.c). Where it was woken onto the worker's own processor, which is where Linux puts it
    while the others are busy, the worker cannot go on, and both stand still until the scheduler's next tick, 3 to 5 ms
    later. A thread of SCHED_BATCH takes nobody's processor when it wakes (docs/decisions/runtime-between-calls.md).
    """

    def __init__(self) -> None:
        self._changed = False

    def __enter__(self) -> None:
        self._changed = _has_policies() and os.sched_getscheduler(0) == os.SCHED_OTHER and _choose(os.SCHED_BATCH)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._changed:
            _choose(os.SCHED_OTHER)


def _has_policies() -> bool:
    return hasattr(os, "SCHED_BATCH")


def _choose(policy: int) -> bool:
    """Returns whether the calling thread now has this policy; a sandbox may refuse it, and the call is as good
    without."""
    try:
        os.sched_setscheduler(0, policy, os.sched_param(0))
    except OSError:
        return False
    return True
