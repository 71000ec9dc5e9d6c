"""Runs the scripts of IREE's own tools that commands write."""

import os
import subprocess
import sys
from pathlib import Path


def run_script(path: Path) -> str:
    """Run a script that must end well; returns what it printed."""
    tools = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    command = ["sh", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
