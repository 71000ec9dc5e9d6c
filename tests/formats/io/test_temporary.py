"""Files that a process left half-written are removed once the process is gone, and never before."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.io.output_file import OUTPUT_PREFIX, OutputFile
from sharkpack.formats.io.output_folder import output_folder
from sharkpack.formats.io.temporary import hold, locked_folder, remove_abandoned, temporary_folder, temporary_path

WRITERS = {
    "file": "from sharkpack.formats.io.output_file import OutputFile\n"
    "made = OutputFile(Path(sys.argv[1]) / 'x', overwrite=False)\nmade.write(b'half')\nmade._flush()\n",
    "folder": "from sharkpack.formats.io.output_folder import output_folder\n"
    "made = output_folder(Path(sys.argv[1]) / 'x')\n(made.__enter__() / 'half').write_text('half')\n",
}


@pytest.mark.parametrize("kind", list(WRITERS))
def test_what_a_killed_process_left_goes_and_a_living_ones_stays(kind: str, tmp_path: Path) -> None:
    code = f"import sys\nfrom pathlib import Path\n{WRITERS[kind]}print('written', flush=True)\nsys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        remove_abandoned(tmp_path, OUTPUT_PREFIX)
        assert len(list(tmp_path.iterdir())) == 1
        process.send_signal(signal.SIGKILL)
    remove_abandoned(tmp_path, OUTPUT_PREFIX)
    assert list(tmp_path.iterdir()) == []


def test_a_file_and_a_folder_sweep_where_they_write(tmp_path: Path) -> None:
    (tmp_path / ".sharkpack-dead.partial").write_bytes(b"half")
    (tmp_path / ".sharkpack-folder.partial").mkdir()
    (tmp_path / ".sharkpack-mine").write_bytes(b"not ours")
    file = OutputFile(tmp_path / "x", overwrite=False)
    with output_folder(tmp_path / "y"):
        assert len(list(tmp_path.iterdir())) == 3
    file.publish()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".sharkpack-mine", "x", "y"]


def test_one_that_is_removed_before_it_is_locked_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def first_is_taken(descriptor: int, path: Path) -> bool:
        tried.append(path)
        if len(tried) == 1:
            path.unlink()
        return hold(descriptor, path)

    monkeypatch.setattr("sharkpack.formats.io.output_file.hold", first_is_taken)
    file = OutputFile(tmp_path / "x", overwrite=False)
    file.write(b"whole")
    file.publish()
    assert len(tried) == 2
    assert (tmp_path / "x").read_bytes() == b"whole"


def test_without_locks_nothing_is_taken_for_abandoned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", refuse)
    left = temporary_path(tmp_path, OUTPUT_PREFIX)
    left.write_bytes(b"half")
    with temporary_folder(tmp_path, OUTPUT_PREFIX) as folder, locked_folder(tmp_path):
        assert folder.is_dir()
    assert list(tmp_path.iterdir()) == [left]


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"mine")
    link = temporary_path(tmp_path, OUTPUT_PREFIX)
    link.symlink_to(tmp_path / "mine")
    remove_abandoned(tmp_path, OUTPUT_PREFIX)
    assert (tmp_path / "mine").read_bytes() == b"mine"


def test_a_folder_that_is_not_there_has_nothing(tmp_path: Path) -> None:
    assert remove_abandoned(tmp_path / "none", OUTPUT_PREFIX) == 0
    with pytest.raises(SharkpackError, match="does not exist"):
        OutputFile(tmp_path / "none" / "x", overwrite=False)


def test_a_folder_that_others_lock_is_waited_for(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom sharkpack.formats.io.temporary import locked_folder\n"
        "print('waiting', flush=True)\nwith locked_folder(Path(sys.argv[1])): print('in', flush=True)"
    )
    with locked_folder(tmp_path):
        process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.3)
    assert process.communicate(timeout=60)[0] == "in\n"
