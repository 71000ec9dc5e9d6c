#!/usr/bin/env python3
"""List where replaced words are still used: scripts/find_words.py [PATH]... (default: everywhere)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.words import PLACES, find_hits, read_rules


def main() -> int:
    """Print each hit with its file and line; returns 1 if there are any."""
    hits = find_hits(read_rules(), tuple(sys.argv[1:]) or PLACES)
    for hit in hits:
        print(hit)
    print(f"{len(hits)} hits", file=sys.stderr)
    return 1 if hits else 0


if __name__ == "__main__":
    sys.exit(main())
