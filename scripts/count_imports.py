#!/usr/bin/env python3
"""Print, for each folder, its files, those at its top, and the imports among its files and among its rooms."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.import_graph import FOLDERS, ROOT, room_arrows, sharkpack_graph


def main() -> int:
    graph = sharkpack_graph()
    for folder in FOLDERS:
        files = {module for module in graph if module.startswith(f"sharkpack.{folder}.")}
        arrows = sum(len(files & graph[module]) for module in files)
        top = sum(path.name != "__init__.py" for path in (ROOT / folder).glob("*.py"))
        rooms = len(room_arrows(graph, folder))
        print(f"{folder}: {len(files)} files, {top} at its top; {arrows} imports, {rooms} among rooms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
