"""Bad input gets one sentence and exit status 2, and leaves nothing half-written; every case of both commands."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.bundle_edits import with_manifest
from tests.end_to_end.command_line import build, sharkpack
from tests.outcome import Outcome
from tests.tiny_models import write_tiny_gguf

Change = Callable[[dict[str, Any]], object]

# `sharkpack ARGUMENT...` where no file may grow past argv[1] bytes.
_SMALL_FILES = """
import resource, sys
from sharkpack.cli.main import main
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
sys.exit(main(sys.argv[2:]))
"""


@pytest.fixture
def refused(capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """`refused(source, option...)`: the sentence with which `sharkpack build` refuses; nothing may change on disk."""

    def refused(source: Path, *options: str | Path) -> str:
        before = _contents(source.parent)
        status = build(source, *options)
        captured = capfd.readouterr()
        assert _contents(source.parent) == before
        return Outcome(status=status, out=captured.out, err=captured.err).error

    return refused


def _contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# -- build


def test_not_a_gguf_file(refused: Callable[..., str], tmp_path: Path) -> None:
    source = tmp_path / "letter.gguf"
    source.write_text("Dear aunt, the weather here is fine.")
    assert "not a GGUF file" in refused(source)
    source.write_bytes(b"")
    assert "the file is cut short: it is empty" in refused(source)
    assert "no such file" in refused(tmp_path / "missing.gguf")


@pytest.mark.parametrize("keep", [0.001, 0.02, 0.3, 0.9, 0.9999])
def test_truncated_gguf_file(refused: Callable[..., str], tiny_gguf: Path, tmp_path: Path, keep: float) -> None:
    data = tiny_gguf.read_bytes()
    source = tmp_path / "cut.gguf"
    source.write_bytes(data[: int(len(data) * keep)])
    error = refused(source)
    assert "cut.gguf" in error
    assert "cut short" in error or "ends" in error


def test_unsupported_architecture(refused: Callable[..., str], tmp_path: Path) -> None:
    source = write_tiny_gguf(
        tmp_path / "m.gguf", metadata={"general.architecture": "mamba", "mamba.context_length": 512}
    )
    error = refused(source)
    assert "'mamba'" in error
    assert all(name in error for name in ("llama", "qwen2", "gemma3"))


def test_unsupported_tensor_type(refused: Callable[..., str], tmp_path: Path) -> None:
    types = {"blk.1.ffn_up.weight": "Q8_K"}
    error = refused(write_tiny_gguf(tmp_path / "m.gguf", dim=256, head_dim=64, types=types))
    assert "'blk.1.ffn_up.weight'" in error
    assert "Q8_K" in error
    assert all(name in error for name in ("Q4_0", "Q4_K", "Q6_K", "Q8_0", "F16"))


def test_unknown_rope_scaling(refused: Callable[..., str], tmp_path: Path) -> None:
    error = refused(write_tiny_gguf(tmp_path / "m.gguf", metadata={"llama.rope.scaling.type": "spiral"}))
    assert "spiral" in error


def test_output_exists(refused: Callable[..., str], tiny_gguf: Path, tmp_path: Path) -> None:
    output = tmp_path / "mine.shark"
    output.write_text("mine")
    error = refused(tiny_gguf, "-o", output)
    assert "mine.shark exists" in error
    assert "--force" in error
    assert output.read_text() == "mine"


def test_unknown_target(refused: Callable[..., str], tiny_gguf: Path) -> None:
    error = refused(tiny_gguf, "-o", tiny_gguf.with_name("new.shark"), "--target", "pdp-11")
    assert "unknown target 'pdp-11'" in error
    assert "x86-64-v4-vnni" in error


@pytest.mark.skipif(sys.platform == "win32", reason="RLIMIT_FSIZE is POSIX's")
def test_no_space_left(tiny_gguf: Path, tmp_path: Path) -> None:
    """The source of the bundle: its code is in the compile cache already."""
    command = ["build", tiny_gguf, "-o", tmp_path / "tiny.shark", "--batch-sizes", "1", "--quiet"]
    assert build(tiny_gguf, "-o", tmp_path / "tiny.shark", "--batch-sizes", "1") == 0
    (tmp_path / "tiny.shark").unlink()
    done = subprocess.run(
        [sys.executable, "-c", _SMALL_FILES, "200000", *map(str, command)], capture_output=True, text=True, check=False
    )
    assert "not enough room" in Outcome(status=done.returncode, out=done.stdout, err=done.stderr).error
    assert list(tmp_path.iterdir()) == []


# -- run


def _refusal(bundle: Path, *arguments: str) -> str:
    return sharkpack("run", bundle, *arguments).error


def test_not_a_bundle(tiny_gguf: Path, tmp_path: Path) -> None:
    (tmp_path / "letter.shark").write_text("Dear aunt")
    assert "letter.shark" in _refusal(tmp_path / "letter.shark", "Hello")
    assert "GGUF" in _refusal(tiny_gguf, "Hello")
    assert "missing.shark" in _refusal(tmp_path / "missing.shark", "Hello")


@pytest.mark.parametrize("missing", [1, 1000, 100_000])
def test_bundle_cut_short(tiny_bundle: Path, tmp_path: Path, missing: int) -> None:
    path = tmp_path / "cut.shark"
    path.write_bytes(tiny_bundle.read_bytes()[:-missing])
    assert "cut.shark" in _refusal(path, "Hello")


def test_flipped_byte_in_the_manifest(tiny_bundle: Path, tmp_path: Path) -> None:
    data = bytearray(tiny_bundle.read_bytes())
    data[data.rindex(b'"page_size"') + 14] ^= 1
    path = tmp_path / "flipped.shark"
    path.write_bytes(data)
    assert "manifest" in _refusal(path, "Hello")


def test_flipped_byte_in_the_code(tiny_bundle: Path, tmp_path: Path) -> None:
    def remember(manifest: dict[str, Any]) -> None:
        offsets.extend(member["offset"] for member in manifest["members"] if member["path"].endswith(".vmfb"))

    offsets: list[int] = []
    path = with_manifest(tiny_bundle, tmp_path / "flipped.shark", remember)
    data = bytearray(path.read_bytes())
    data[offsets[0] + 5000] ^= 1
    path.write_bytes(data)
    assert "damaged" in _refusal(path, "Hello")


def _member_past_the_end(manifest: dict[str, Any]) -> None:
    manifest["members"][1]["size"] = 1 << 40


def _next_major(manifest: dict[str, Any]) -> None:
    manifest["format"]["major"] += 1


def _feature_of_the_future(manifest: dict[str, Any]) -> None:
    manifest["targets"][0]["requires"]["cpu_features"].append("avx10.9")


def _other_architecture(manifest: dict[str, Any]) -> None:
    manifest["targets"][0]["architecture"] = "riscv64"


def _newer_runtime(manifest: dict[str, Any]) -> None:
    manifest["minimum_runtime"] = "99.0.0"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_member_past_the_end, ("the manifest lists other members, offsets or sizes",)),
        (_next_major, ("format", "2")),
        (_feature_of_the_future, ("avx10.9", "lacks")),
        (_other_architecture, ("riscv64",)),
        (_newer_runtime, ("99.0.0", "iree-base-runtime")),
    ],
)
def test_bundles_that_are_not_for_here(
    tiny_bundle: Path, tmp_path: Path, change: Change, words: tuple[str, ...]
) -> None:
    error = _refusal(with_manifest(tiny_bundle, tmp_path / "changed.shark", change), "Hello")
    assert all(word in error for word in words), error


def test_an_unchanged_copy_runs(tiny_bundle: Path, tmp_path: Path) -> None:
    """The edits above are what is refused, and not the way they are made."""
    copy = with_manifest(tiny_bundle, tmp_path / "copy.shark", lambda manifest: None)
    assert sharkpack("run", copy, "Hello", "--max-tokens", "2").status == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("Hello world " * 400,), ("the prompt is", "the context 512")),
        (("",), ("the prompt is empty",)),
        (("Hello", "--raw", "--device", "tpu"), ("unknown device 'tpu'", "local-task")),
        (("Hello", "--device", "cuda"), ("cuda",)),
        (("Hello", "--target", "pdp-11"), ("no target 'pdp-11'",)),
    ],
)
def test_requests_that_cannot_be_met(tiny_bundle: Path, arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    error = _refusal(tiny_bundle, *arguments)
    assert all(word in error for word in words), error


def test_inspect_refuses_the_same_files(tiny_bundle: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.shark"
    cut.write_bytes(tiny_bundle.read_bytes()[:-1000])
    for path in (cut, tmp_path / "missing.shark"):
        assert path.name in sharkpack("inspect", path).error
