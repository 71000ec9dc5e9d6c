"""The imports among sharkpack's files, whenever they happen: at the top, in functions, and for types alone."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = ("formats", "templates", "bundler", "runtime_shim", "cli")

Graph = Mapping[str, frozenset[str]]
"""Module -> the modules that its file imports."""


def sharkpack_graph() -> Graph:
    """The graph of all files of sharkpack, a package's `__init__` under the package's name."""
    return graph_of({_module_name(path): path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")})


def graph_of(files: Mapping[str, Path]) -> Graph:
    """The graph of these modules; imports of others are left out."""
    return {
        module: frozenset(name for name in _imported(path, files) if name != module) for module, path in files.items()
    }


def circles(graph: Graph) -> list[list[str]]:
    """Groups of modules that import one another, each as one way around, the shortest first."""
    return sorted(filter(None, (_way_around(graph, group) for group in _components(graph))), key=len)


def _module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("sharkpack", *(parts[:-1] if parts[-1] == "__init__" else parts)))


def _imported(path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield from (name for name in [inner if inner in known else node.module] if name in known)


def _components(graph: Graph) -> Iterator[frozenset[str]]:
    """The strongly connected components that have several modules."""
    importers = {module: frozenset(name for name in graph if module in graph[name]) for module in graph}
    left = set(graph)
    while left:
        start = min(left)
        group = _reachable(graph, start) & _reachable(importers, start)
        left -= group
        if len(group) > 1:
            yield frozenset(group)


def _reachable(graph: Graph, start: str) -> set[str]:
    found, waiting = {start}, [start]
    while waiting:
        new = graph[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def _way_around(graph: Graph, group: Iterable[str]) -> list[str]:
    """A shortest circle from the first module of the group back to itself."""
    members, start = set(group), min(group)
    ways = [[start]]
    seen: set[str] = set()
    while ways:
        way = ways.pop(0)
        for name in sorted(graph[way[-1]] & members):
            if name == start:
                return [*way, start]
            if name not in seen:
                seen.add(name)
                ways.append([*way, name])
    return []


def rooms_imported(graph: Graph, folder: str) -> dict[str, set[str]]:
    """Room (a package directly in `folder`, such as "bundler") -> the other modules directly there that it imports."""
    root = f"sharkpack.{folder}"
    packages = {path.parent.name for path in (ROOT / folder).glob("*/__init__.py")}
    found: dict[str, set[str]] = {package: set() for package in packages}
    for module, imported in graph.items():
        room = _room(module, root)
        if room in packages:
            found[room] |= {other for name in imported if (other := _room(name, root)) not in (None, room)}
    return found


def _room(module: str, root: str) -> str | None:
    return module.removeprefix(f"{root}.").split(".")[0] if module.startswith(f"{root}.") else None


def room_arrows(graph: Graph, folder: str) -> set[tuple[str, str]]:
    """(room, room) for each two of `folder` of which files of the first import the second; a file there is a room."""
    root = f"sharkpack.{folder}"
    found = {(_room(module, root), _room(name, root)) for module, imported in graph.items() for name in imported}
    return {(here, there) for here, there in found if here is not None and there is not None and here != there}
