"""`sharkpack inspect` on one small file of each format, and on what is none of them."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from sharkpack.formats.archive.editor import write_signatures
from sharkpack.formats.archive.sample_bundle import write_sample_bundle
from sharkpack.formats.model_files.irpa import plan_irpa
from sharkpack.formats.model_files.tensor_file import write_tensors
from sharkpack.formats.model_files.tensor_note import write_note
from tests.cli.conftest import Sharkpack
from tests.runtime_shim.toy_language import TABLE


@pytest.fixture
def irpa(tmp_path: Path) -> Path:
    path = tmp_path / "weights.bin"
    plan = plan_irpa([("a", 8), ("b", 100)])
    with path.open("wb") as out:
        write_tensors(plan, out, [("a", bytes(8)), ("b", bytes(100))])
    return path


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    metadata = text("general.architecture") + struct.pack("<I", 8) + text("llama")
    metadata += text("tokenizer.ggml.scores") + struct.pack("<IIQ20f", 9, 6, 20, *range(20))
    tensors = text("w") + struct.pack("<IQQIQ", 2, 4, 2, 0, 0)
    header = b"GGUF" + struct.pack("<IQQ", 3, 1, 2) + metadata + tensors
    path = tmp_path / "model.bin"
    path.write_bytes(header.ljust(-(-len(header) // 32) * 32, b"\0") + bytes(32))
    return path


@pytest.fixture
def safetensors(tmp_path: Path) -> Path:
    header = json.dumps(
        {"__metadata__": {"format": "pt"}, "w": {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12]}}
    ).encode()
    path = tmp_path / "model.bin"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(12))
    return path


def _json(sharkpack: Sharkpack, *arguments: str | Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(sharkpack("inspect", *arguments, "--json").out)
    return report


def test_signatures_are_listed(sharkpack: Sharkpack, tmp_path: Path) -> None:
    path = tmp_path / "signed.shark"
    write_sample_bundle(path)
    assert _json(sharkpack, path)["signatures"] == []
    write_signatures(path, {"me.minisig": b"x"})
    assert _json(sharkpack, path)["signatures"] == ["me.minisig"]
    assert "me.minisig (not verified)" in sharkpack("inspect", path).out


def test_shark(sharkpack: Sharkpack, bundle: Path) -> None:
    outcome = sharkpack("inspect", bundle, "--tensors", "--verify")
    assert outcome.status == 0
    for expected in ("shark", "generic", "params/model.irpa", "table", "every member matches its SHA-256"):
        assert expected in outcome.out


def test_shark_as_json(sharkpack: Sharkpack, bundle: Path) -> None:
    report = _json(sharkpack, bundle, "--tensors", "--verify")
    assert (report["kind"], report["size"], report["verified"]) == ("shark", bundle.stat().st_size, True)
    assert isinstance(report["manifest"], dict)
    assert report["manifest"]["model"]["name"] == "toy"
    (tensor,) = report["tensors"]
    start, size = tensor["offset"], tensor["nbytes"]
    assert bundle.read_bytes()[start : start + size] == TABLE.tobytes()


def test_verify_finds_a_flipped_byte(sharkpack: Sharkpack, bundle: Path, tmp_path: Path) -> None:
    (tensor,) = _json(sharkpack, bundle, "--tensors")["tensors"]
    data = bytearray(bundle.read_bytes())
    data[tensor["offset"]] ^= 1
    broken = tmp_path / "broken.shark"
    broken.write_bytes(data)
    assert sharkpack("inspect", broken).status == 0
    assert "params/model.irpa" in sharkpack("inspect", broken, "--verify").error


def test_irpa(sharkpack: Sharkpack, irpa: Path) -> None:
    assert "irpa" in sharkpack("inspect", irpa, "--tensors").out
    report = _json(sharkpack, irpa, "--tensors")
    assert (report["kind"], report["tensor_count"], report["tensor_bytes"]) == ("irpa", 2, 108)
    assert [tensor["name"] for tensor in report["tensors"]] == ["a", "b"]


def test_gguf(sharkpack: Sharkpack, gguf: Path) -> None:
    outcome = sharkpack("inspect", gguf, "--tensors")
    for expected in ("general.architecture", "llama", "[20 x float]", "2 x 4"):
        assert expected in outcome.out
    report = _json(sharkpack, gguf)
    assert (report["kind"], report["tensor_types"], report["element_count"]) == ("gguf", {"F32": 1}, 8)
    assert report["metadata"] == {
        "general.architecture": "llama",
        "tokenizer.ggml.scores": {"array_of": "float", "length": 20},
    }


def test_safetensors(sharkpack: Sharkpack, safetensors: Path) -> None:
    assert "F16" in sharkpack("inspect", safetensors, "--tensors").out
    report = _json(sharkpack, safetensors, "--tensors")
    assert (report["kind"], report["metadata"]) == ("safetensors", {"format": "pt"})
    assert report["tensors"] == [
        {"name": "w", "type": "F16", "shape": [2, 3], "offset": safetensors.stat().st_size - 12, "nbytes": 12}
    ]


def test_checkpoint(sharkpack: Sharkpack, tmp_path: Path) -> None:
    """Two shards, whose tensors are listed with their files."""
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "rope_scaling": None}
    (tmp_path / "config.json").write_text(json.dumps(config))
    listed = {"a": "model-1.safetensors", "b": "model-2.safetensors"}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": listed}))
    for name, file in listed.items():
        header = json.dumps({name: {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}}).encode()
        (tmp_path / file).write_bytes(struct.pack("<Q", len(header)) + header + bytes(12))
    outcome = sharkpack("inspect", tmp_path, "--tensors")
    assert outcome.status == 0
    for expected in ("checkpoint", "LlamaForCausalLM", "2 x 3", "model-2.safetensors"):
        assert expected in outcome.out
    report = _json(sharkpack, tmp_path, "--tensors")
    assert (report["kind"], report["config"], report["tensor_types"]) == ("checkpoint", config, {"BF16": 2})
    assert [(each["name"], each["file"], each["nbytes"]) for each in report["tensors"]] == [
        ("a", "model-1.safetensors", 12),
        ("b", "model-2.safetensors", 12),
    ]
    (tmp_path / "model-2.safetensors").unlink()
    assert "model-2.safetensors is missing" in sharkpack("inspect", tmp_path).error


def test_notes_of_parameters_are_types_and_shapes(sharkpack: Sharkpack, tmp_path: Path) -> None:
    path = tmp_path / "weights.irpa"
    notes = {"a": write_note("q4_k", (32, 256)), "c": b"something of another tool"}
    plan = plan_irpa([("a", 8), ("b", 100), ("c", 4)], notes=notes)
    with path.open("wb") as out:
        write_tensors(plan, out, [("a", bytes(8)), ("b", bytes(100)), ("c", bytes(4))])
    found = {each["name"]: (each["type"], each["shape"]) for each in _json(sharkpack, path, "--tensors")["tensors"]}
    assert found == {"a": ("q4_k", [32, 256]), "b": (None, None), "c": (None, None)}
    assert "32 x 256" in sharkpack("inspect", path, "--tensors").out


def test_verify_is_for_bundles(sharkpack: Sharkpack, gguf: Path) -> None:
    assert "is a gguf file" in sharkpack("inspect", gguf, "--verify").error


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "but an empty file: download it again"),
        (b"\x01hello, world", "(it begins with 01 68 65 6c 6c 6f 2c 20)"),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "but a Git LFS pointer, not the file itself: run 'git lfs pull'",
        ),
    ],
)
def test_no_model_file(sharkpack: Sharkpack, tmp_path: Path, content: bytes, found: str) -> None:
    path = tmp_path / "notes.gguf"
    path.write_bytes(content)
    expected = f"{path}: not a .shark, .gguf, .irpa or .safetensors file {found}"
    assert sharkpack("inspect", path).error.startswith(expected)


@pytest.mark.parametrize("kind", ["irpa", "gguf", "safetensors"])
def test_cut_short(sharkpack: Sharkpack, request: pytest.FixtureRequest, tmp_path: Path, kind: str) -> None:
    whole: Path = request.getfixturevalue(kind)
    cut = tmp_path / "cut"
    cut.write_bytes(whole.read_bytes()[:-9])
    assert str(cut) in sharkpack("inspect", cut).error


def test_missing_file_and_folder(sharkpack: Sharkpack, tmp_path: Path) -> None:
    missing = tmp_path / "none"
    assert sharkpack("inspect", missing).error == f"{missing}: no such file"
    assert sharkpack("inspect", tmp_path).error == f"{tmp_path}: a folder: name a file, or one with config.json"
