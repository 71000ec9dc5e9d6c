import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.model_files.safetensors_index import SafetensorsTensor, read_safetensors_index


def tensor(begin: int, end: int, dtype: Any = "F32", shape: Any = None) -> dict[str, Any]:
    return {"dtype": dtype, "shape": [(end - begin) // 4] if shape is None else shape, "data_offsets": [begin, end]}


def build(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


@pytest.fixture
def refusal(tmp_path: Path) -> Callable[[bytes], str]:
    """The message that refuses these bytes, without the path."""

    def refuse(data: bytes) -> str:
        path = tmp_path / "model.safetensors"
        path.write_bytes(data)
        with pytest.raises(SharkpackError) as caught:
            read_safetensors_index(path)
        message = str(caught.value)
        assert message.startswith(f"{path}: ")
        assert "\n" not in message
        return message.removeprefix(f"{path}: ")

    return refuse


def test_names_places_and_metadata_are_read(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    header = {
        "__metadata__": {"format": "pt"},
        "second": tensor(16, 24, "BF16", [2, 2]),
        "first": tensor(0, 16),
        "empty": tensor(24, 24, "U8", [0, 3]),
    }
    data = build(header, bytes(24))
    path.write_bytes(data)
    index = read_safetensors_index(path)
    start = len(data) - 24
    assert index.metadata == {"format": "pt"}
    assert index.size == len(data)
    assert list(index.tensors.values()) == [
        SafetensorsTensor(name="first", dtype="F32", shape=(4,), offset=start, nbytes=16),
        SafetensorsTensor(name="second", dtype="BF16", shape=(2, 2), offset=start + 16, nbytes=8),
        SafetensorsTensor(name="empty", dtype="U8", shape=(0, 3), offset=start + 24, nbytes=0),
    ]


def test_the_formats_own_writer_is_read(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    path = tmp_path / "model.safetensors"
    weights: dict[str, npt.NDArray[Any]] = {"a": np.ones((3, 5), np.float32), "b": np.arange(7, dtype=np.int64)}
    safetensors.save_file(weights, path)
    index = read_safetensors_index(path)
    assert {name: t.shape for name, t in index.tensors.items()} == {"a": (3, 5), "b": (7,)}
    data = path.read_bytes()
    for name, found in index.tensors.items():
        assert data[found.offset : found.offset + found.nbytes] == weights[name].tobytes()


def test_a_file_cut_short_anywhere_is_refused(refusal: Callable[[bytes], str]) -> None:
    data = build({"a": tensor(0, 16)}, bytes(16))
    for length in range(len(data)):
        refusal(data[:length])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a safetensors file but an empty file: download it again"),
        (b"GGUF" + bytes(60), "not a safetensors file but a GGUF file"),
        ((2**60).to_bytes(8, "little"), "not a safetensors file (it does not begin with the length of a header)"),
        (build(b"[]"), "not a safetensors file (its header is not a JSON object)"),
        (build(b"{]"), "the header is not valid JSON: Expecting property name enclosed in double quotes"),
        (build(b'{"a":1,"a":2}'), "the header is not valid JSON: the key 'a' appears twice"),
        (build(b'{"\xff":1}'), "the header is not valid JSON: 'utf-8' codec can't decode byte 0xff"),
        (build(b'{"a":' * 100_000), "the header is not valid JSON: "),
        (build({"__metadata__": {"a": 1}}), "'__metadata__' is not an object of strings"),
        (build({"a": 1}), "tensor 'a' needs exactly dtype, shape and data_offsets"),
        (build({"a": tensor(0, 4, "F33")}, bytes(4)), "tensor 'a' has dtype 'F33'; known: BOOL, F4, "),
        (build({"a": tensor(0, 4, [])}, bytes(4)), "tensor 'a' has dtype []; known: "),
        (build({"a": tensor(0, 4, shape=[-1])}), "tensor 'a' has shape [-1]; expected a list of sizes"),
        (build({"a": tensor(4, 0)}), "tensor 'a' has shape [-1]; expected a list of sizes"),
        (build({"a": tensor(4, 0, shape=[1])}), "tensor 'a' has data_offsets [4, 0]; expected its begin and its end"),
        (
            build({"a": tensor(0, 8, shape=[1])}, bytes(8)),
            "tensor 'a' is F32 of shape [1], 4 bytes, but its place has 8",
        ),
        (build({"a": tensor(0, 4), "b": tensor(8, 12)}, bytes(12)), "tensor 'b' leaves a hole before it"),
        (build({"a": tensor(0, 8), "b": tensor(4, 12)}, bytes(12)), "tensor 'b' overlaps the one before it"),
        (build({"a": tensor(0, 4)}, bytes(5)), "its tensors end at byte "),
        (build({"a": tensor(0, 2**50)}), "its tensors end at byte "),
    ],
)
def test_an_ill_formed_file_is_refused(data: bytes, message: str, refusal: Callable[[bytes], str]) -> None:
    assert refusal(data).startswith(message)
