"""The pages of a migration name what there is: each gate, each stage, each action."""

from __future__ import annotations

import re
from pathlib import Path

from legacy_adapters.management.migrating.options import ACTIONS
from legacy_adapters.management.migrating.results import WATCH
from legacy_adapters.migration.stages.names import Stage

ROOT = Path(__file__).resolve().parents[2]
GATES = ROOT / "legacy_adapters" / "migration" / "gates"
HOWTO = ROOT / "docs" / "howto"


def test_every_gate_has_a_section_for_the_night() -> None:
    source = "".join(path.read_text() for path in GATES.glob("*.py"))
    page = (HOWTO / "when-a-gate-shuts.md").read_text()

    named = set(re.findall(r'\bGate\(\s*name="(\w+)"', source))

    assert named
    sections = re.split(r"^## ", page, flags=re.MULTILINE)
    for name in named:
        (section,) = (each for each in sections if each.partition("\n")[0] == name)
        assert "**It means:**" in section


def test_every_stage_is_told_and_says_what_to_watch() -> None:
    page = (ROOT / "docs" / "explanation" / "migration.md").read_text()

    assert set(WATCH) == set(Stage)
    assert all(f"| `{stage}` |" in page for stage in Stage)


def test_every_action_is_used_on_a_page() -> None:
    pages = "".join(path.read_text() for path in HOWTO.glob("*.md"))

    assert [name for name in ACTIONS if f"`{name}`" not in pages and f"{name} " not in pages] == []
