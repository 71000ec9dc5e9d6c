"""The rule of imports: which folder may import which, and which packages; what loading one brings along."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlinter import cli as importlinter_cli

from tests.import_graph import FOLDERS, circles, graph_of, rooms_imported, sharkpack_graph

ROOT = Path(__file__).parent.parent

# What a folder may import besides the standard library and, by the layers, the rest of sharkpack.
THIRD_PARTY = {
    "formats": {"numpy", "zstandard"},
    "runtime_shim": {"iree.runtime", "numpy", "tokenizers", "jinja2"},
    "templates": {"iree.compiler", "iree.turbine", "jinja2", "numpy", "torch"},
    "bundler": {"huggingface_hub", "iree.compiler", "iree.turbine", "numpy", "tokenizers", "torch", "zstandard"},
    "cli": {"rich"},
}


def test_layers_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert importlinter_cli.lint_imports(no_cache=True) == 0


def test_no_files_import_one_another_in_a_circle() -> None:
    """Nor in functions, nor for types: import-linter sees packages alone."""
    found = [" -> ".join(circle) for circle in circles(sharkpack_graph())]
    assert not found, f"imports in a circle: {'; '.join(found)}"


@pytest.mark.parametrize("folder", FOLDERS)
def test_rooms_import_what_they_say(folder: str) -> None:
    """The end of a room's docstring lists its neighbours below; the contracts in pyproject.toml order all of them."""
    for room, imported in rooms_imported(sharkpack_graph(), folder).items():
        said = re.search(rf"\n\nImports from {folder}: ([^.]*)\.\s*$", _docstring(ROOT / folder / room / "__init__.py"))
        assert said is not None, f"{folder}/{room}: its docstring does not end with 'Imports from {folder}: ....'"
        allowed = set(re.split(r",\s+", said[1])) - {"nothing"}
        assert imported <= allowed, f"{folder}/{room} imports {imported - allowed} and does not say so"
        assert allowed <= imported, f"{folder}/{room} says that it imports {allowed - imported}, and does not"


def test_every_way_to_import_closes_a_circle(tmp_path: Path) -> None:
    texts = {
        "a": "from pack import b",
        "pack": "",
        "pack.b": "def late():\n    import c",
        "c": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from d import Kind",
        "d": "import a\nimport e",
        "e": "import json",
    }
    files = {name: tmp_path / f"{name}.py" for name in texts}
    for name, text in texts.items():
        files[name].write_text(text)
    assert circles(graph_of(files)) == [["a", "pack.b", "c", "d", "a"]]
    files["d"].write_text("import e")
    assert circles(graph_of(files)) == []


@pytest.mark.parametrize("folder", THIRD_PARTY)
def test_third_party_imports(folder: str) -> None:
    allowed = {"sharkpack", *THIRD_PARTY[folder]}
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for name in _imported_names(path)
        if not any(f"{name}.".startswith(f"{module}.") for module in allowed)
    }
    assert not found


def test_runtime_loads_no_compiler() -> None:
    """With torch and the compiler importable, nothing of the runtime imports them."""
    program = """
import importlib, pkgutil, sys
import sharkpack.runtime_shim as shim
for module in pkgutil.walk_packages(shim.__path__, f"{shim.__name__}."):
    importlib.import_module(module.name)
for name in shim.__all__:
    getattr(shim, name)
assert "sharkpack.runtime_shim.engine.engine" in sys.modules
print(*(name for name in ("torch", "iree.compiler", "iree.turbine", "gguf", "transformers") if name in sys.modules))
"""
    assert _run_python(program) == "\n"


def test_command_line_starts_light() -> None:
    program = """
import sys
import sharkpack.cli.main
sharkpack.cli.main.build_parser()
print(*(name for name in ("numpy", "rich", "iree", "zstandard", "tokenizers", "torch") if name in sys.modules))
"""
    assert _run_python(program) == "\n"


def _imported_names(path: Path) -> Iterator[str]:
    """Full names of what the file imports from outside the standard library, whenever it does; not for types alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {id(child) for node in ast.walk(tree) if _is_for_types(node) for child in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] not in sys.stdlib_module_names)


def _docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _run_python(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
