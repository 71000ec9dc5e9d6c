"""Models of a hub: fetched once, resumed, found again offline; and one sentence for each way in which that fails."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants

from sharkpack.bundler.sources import open_source
from sharkpack.bundler.sources.fetch.hub import fetch_from_hub, parse_reference
from sharkpack.bundler.tokenizer import tokenizer_of
from sharkpack.formats.errors import SharkpackError
from tests.checkpoints import write_checkpoint_of
from tests.hub_server import COMMIT, Hub
from tests.tiny_models import write_tiny_gguf

GGUF = b"GGUF" + bytes(range(256)) * 20000
FILES = {
    "config.json": b"{}",
    "model.safetensors": b"weights" * 1000,
    "tokenizer.json": b"{}",
    "modeling_mine.py": b"raise SystemExit",
    "pytorch_model.bin": b"pickle",
    "onnx/config.json": b"{}",
}
REPOSITORIES = {
    "me/model": FILES,
    "me/gated": FILES,
    "me/files": {"small-Q4_0.gguf": GGUF, "sub/large.gguf": b"GGUF", "README.md": b""},
    "me/pickle": {"config.json": b"{}", "pytorch_model.bin": b"pickle"},
}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub, and an empty cache."""
    with Hub(repositories=REPOSITORIES, gated={"me/gated": "hf_secret"}).serving() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
        yield server


def _fetch(text: str) -> Path:
    return fetch_from_hub(parse_reference(text), bars=False).path


def _refusal(text: str) -> str:
    with pytest.raises(SharkpackError) as caught:
        _fetch(text)
    return str(caught.value)


def test_references() -> None:
    reference = parse_reference("hf:me/my.model-1@v1.0:sub/file-Q4_0.gguf")
    assert (reference.repo, reference.revision, reference.file) == ("me/my.model-1", "v1.0", "sub/file-Q4_0.gguf")
    assert (reference.name, parse_reference("hf:me/my.model").name) == ("file-Q4_0", "my.model")


@pytest.mark.parametrize(
    "text", ["hf:model", "hf:me/model/more", "hf:me/model@", "hf:me/model:", "hf:me/m:../x", "hf:"]
)
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(SharkpackError, match="names no model of the hub; expected hf:owner/name"):
        parse_reference(text)


def test_a_checkpoint_is_fetched_once_and_no_more_of_it_than_is_read(hub: Hub) -> None:
    found = fetch_from_hub(parse_reference("hf:me/model"), bars=False)
    assert (found.name, found.origin) == ("model", f"hf:me/model@{COMMIT}")
    assert sorted(path.name for path in found.path.iterdir()) == ["config.json", "model.safetensors", "tokenizer.json"]
    assert (found.path / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    hub.requests.clear()
    assert _fetch("hf:me/model@main") == found.path
    assert not [request for request in hub.requests if request.startswith("GET /me/")]


def test_one_file_is_fetched_alone(hub: Hub) -> None:
    found = fetch_from_hub(parse_reference(f"hf:me/files@{COMMIT}:small-Q4_0.gguf"), bars=False)
    assert found.path.read_bytes() == GGUF
    assert (found.name, found.origin) == ("small-Q4_0", f"hf:me/files@{COMMIT}:small-Q4_0.gguf")


def test_the_other_parts_of_a_model_come_with_the_first(hub: Hub) -> None:
    names = [f"large-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
    hub.repositories = {"me/parts": {f"q4/{name}": GGUF for name in names}}
    found = fetch_from_hub(parse_reference(f"hf:me/parts:q4/{names[0]}"), bars=False)
    assert (found.name, found.path.name) == ("large", names[0])
    assert sorted(path.name for path in found.path.parent.iterdir()) == names


def test_a_source_of_the_hub_is_named_after_its_repository(hub: Hub, tmp_path: Path) -> None:
    gguf = write_tiny_gguf(tmp_path / "tiny.gguf", layers=1)
    folder = write_checkpoint_of(gguf, tmp_path / "folder")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    hub.repositories = {"me/Tiny-0.1B": files | {"tiny.gguf": gguf.read_bytes()}}
    for text, kind, name in (("", "safetensors", "Tiny-0.1B"), (":tiny.gguf", "gguf", "tiny")):
        with open_source(f"hf:me/Tiny-0.1B@main{text}") as source:
            assert (source.kind, source.name, source.origin) == (kind, name, f"hf:me/Tiny-0.1B@{COMMIT}{text}")
            assert tokenizer_of(source.tokenizer).chat_template is not None


def test_a_broken_download_goes_on_where_it_stopped(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1 << 16)
    hub.cut.add("small-Q4_0.gguf")
    assert _fetch("hf:me/files:small-Q4_0.gguf").read_bytes() == GGUF
    ranges = [request for request in hub.requests if "bytes=" in request]
    assert ranges
    assert all(int(request.partition("bytes=")[2].partition("-")[0]) > 0 for request in ranges)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hf:me/none", "me/none is no model of the hub that can be read; check the name"),
        ("hf:me/gated", "me/gated is gated: accept its terms on the hub, then log in"),
        ("hf:me/model@v9", "me/model has no revision 'v9'"),
        ("hf:me/files:none.gguf", "me/files has no file 'none.gguf' in revision 'main'"),
        ("hf:me/files", "me/files holds GGUF files; name one: hf:me/files:small-Q4_0.gguf"),
        ("hf:me/pickle", "me/pickle: no *.safetensors; its weights are a pickle (pytorch_model.bin)"),
    ],
)
def test_what_cannot_be_had(hub: Hub, text: str, message: str) -> None:
    assert message in _refusal(text)


@pytest.mark.parametrize("text", ["hf:me/model", "hf:me/files:small-Q4_0.gguf"])
def test_a_hub_that_cannot_be_reached(hub: Hub, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)  # between attempts
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", "http://127.0.0.1:9/{repo_id}/{revision}/{filename}")
    assert "is not in the hub's cache and cannot be downloaded" in _refusal(text)


def test_the_environment_is_huggingface_hubs(hub: Hub, tmp_path: Path) -> None:
    """HF_ENDPOINT, HF_TOKEN, HF_HOME and HF_HUB_OFFLINE, in processes of their own."""
    environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": "hf_secret"}
    first = _in_process(environment)
    assert Path(first).is_relative_to(tmp_path / "home" / "hub")
    hub.requests.clear()
    assert _in_process(environment | {"HF_HUB_OFFLINE": "1"}) == first
    assert not hub.requests


def _in_process(environment: dict[str, str]) -> str:
    program = """
from sharkpack.bundler.sources.fetch.hub import fetch_from_hub, parse_reference
print(fetch_from_hub(parse_reference("hf:me/gated"), bars=False).path)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()
