"""Opens HAL devices, and keeps the one fact about threads: IREE fixes their number for the whole process."""

import threading

import iree.runtime as rt

from sharkpack.formats.host.cpu import host_cpu
from sharkpack.runtime_shim.checks import whole_number
from sharkpack.runtime_shim.device.forking import check_process, remember_device
from sharkpack.runtime_shim.device.selection import Selection
from sharkpack.runtime_shim.errors import NoDeviceError, RequestError

MAX_THREADS = 256
"""What local-task makes of any larger number."""

_lock = threading.Lock()
_task_threads: int | None = None


def choose_device(selection: Selection, threads: int | None, *, explicit: bool) -> tuple[str, int]:
    """(device, thread count) for a selection, `explicit` if its device was asked for; 0 threads: not a CPU."""
    if selection.target.driver != "local":
        return selection.device_uri, 0
    return choose_local_device(selection.device_uri, threads, explicit=explicit)


def choose_local_device(device_uri: str, threads: int | None, *, explicit: bool) -> tuple[str, int]:
    """(device, thread count) for a CPU target. One thread needs no workers unless local-task was asked for.

    `threads` None means one a physical core. Raises SharkpackError for a count that the device cannot have.
    """
    if threads is not None and whole_number("threads", threads, least=1) > MAX_THREADS:
        raise RequestError(f"threads is {threads}: IREE runs at most {MAX_THREADS}")
    if device_uri == "local-sync":
        if threads not in (None, 1):
            raise RequestError(f"the device local-sync has one thread, and {threads} were asked for: use local-task")
        return device_uri, 1
    count = threads or _task_threads or min(host_cpu().physical_cores, MAX_THREADS)
    if count == 1 and not explicit:
        return "local-sync", 1
    return device_uri, count


def open_device(device_uri: str, threads: int) -> rt.HalDevice:
    """Open a device. `threads` counts for local-task only. Raises SharkpackError where it does not open."""
    check_process()
    if device_uri.startswith("local-task"):
        _fix_task_threads(threads)
    try:
        device = rt.get_device(device_uri)
    except (RuntimeError, ValueError) as error:
        reason = str(error).split("\n", 1)[0]
        raise NoDeviceError(f"the device {device_uri} does not open: {reason}") from error
    remember_device(device)
    return device


def _fix_task_threads(threads: int) -> None:
    global _task_threads
    with _lock:
        if _task_threads not in (None, threads):
            raise RequestError(
                f"this process already runs local-task with {_task_threads} threads and cannot have {threads} too: "
                "use one count a process"
            )
        if _task_threads is None:
            rt.flags.parse_flags(f"--task_topology_group_count={threads}")
            _task_threads = threads
