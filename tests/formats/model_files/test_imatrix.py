"""Importance matrices of both formats, and files that are none."""

import struct
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt
import pytest

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.model_files.imatrix import read_imatrix

Floats = npt.NDArray[np.float32]


def write_gguf(path: Path, tensors: dict[str, Floats]) -> Path:
    writer = gguf.GGUFWriter(path, "imatrix")
    writer.add_string("general.type", "imatrix")
    for name, values in tensors.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def dat(*entries: tuple[bytes, int, list[float]]) -> bytes:
    data = struct.pack("<i", len(entries))
    for name, calls, values in entries:
        data += struct.pack("<i", len(name)) + name + struct.pack(f"<ii{len(values)}f", calls, len(values), *values)
    return data


def test_gguf_sums_are_divided_by_the_tokens_that_each_expert_saw(tmp_path: Path) -> None:
    tensors = {
        "a.weight.in_sum2": np.array([2, 4, 6], np.float32),
        "a.weight.counts": np.array([2], np.float32),
        "b.weight.in_sum2": np.array([[3, 6], [5, 5], [1, 2]], np.float32),
        "b.weight.counts": np.array([[3], [0], [1]], np.float32),
    }
    matrix = read_imatrix(write_gguf(tmp_path / "imatrix.gguf", tensors))
    assert {name: means.tolist() for name, means in matrix.means.items()} == {
        "a.weight": [1, 2, 3],
        "b.weight": [1, 2, 1, 1, 1, 2],
    }


def test_the_older_format(tmp_path: Path) -> None:
    path = tmp_path / "imatrix.dat"
    path.write_bytes(dat((b"a", 4, [4, 8]), (b"b", 0, [1])) + struct.pack("<ii", 4, 3) + b"txt")
    means = read_imatrix(path).means
    assert {name: values.tolist() for name, values in means.items()} == {"a": [1, 2], "b": [1]}
    assert all(values.dtype == np.float32 for values in means.values())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not an importance matrix but an empty file"),
        (b"some text that is long enough", "not an importance matrix but a text file that begins with 'some text"),
        (dat((b"a", 4, [4, 8]))[:-1], "cut short at byte 17 of 24"),
        (dat((b"a", 4, [])), "the importance of 'a' is empty"),
        (dat((b"a\n", 1, [-1.0])), r"the importance of 'a\\n' is not all finite and positive numbers"),
        (dat((b"a", 1, [float("nan")])), "not all finite and positive"),
        (struct.pack("<iii", 1, -5, 0), "cut short at byte 8 of 12"),
    ],
)
def test_files_that_are_none(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "imatrix.dat"
    path.write_bytes(data)
    with pytest.raises(SharkpackError, match=message):
        read_imatrix(path)


def test_gguf_files_that_are_none(tmp_path: Path) -> None:
    two = np.ones(2, np.float32)
    with pytest.raises(SharkpackError, match=r"it has no tensor '\*\.in_sum2'; see llama-imatrix"):
        read_imatrix(write_gguf(tmp_path / "a.gguf", {"w": two}))
    with pytest.raises(SharkpackError, match=r"tensor 'w\.counts' is missing"):
        read_imatrix(write_gguf(tmp_path / "b.gguf", {"w.in_sum2": two}))
    with pytest.raises(SharkpackError, match=r"tensor 'w\.counts' has type F16, not F32"):
        read_imatrix(write_gguf(tmp_path / "c.gguf", {"w.in_sum2": two, "w.counts": two.astype(np.float16)}))
    with pytest.raises(SharkpackError, match=r"3 counts of 'w' do not divide 2"):
        read_imatrix(write_gguf(tmp_path / "d.gguf", {"w.in_sum2": two, "w.counts": np.ones(3, np.float32)}))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SharkpackError, match="no such file"):
        read_imatrix(tmp_path / "absent.dat")
