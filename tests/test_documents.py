"""Documents that must agree with the code."""

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_command_reference_is_current() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "write_command_reference.py"))
    found = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert found == script["render"](), "run scripts/write_command_reference.py"


def test_links_in_documents_lead_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
    broken = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in pages
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if not (page.parent / link).exists()
    ]
    assert not broken
