"""The compose file passes on what the site reads for `legacy_adapters`, with the same defaults."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs.generate import ENVIRONMENT

ROOT = Path(__file__).resolve().parents[2]
NAMES = [
    name
    for name in ENVIRONMENT
    if name.startswith(("LEGACY_", "MIGRATION_")) or name in {"SESSION_MANAGER", "SYNCS_PER_MINUTE"}
]


@pytest.fixture(scope="module")
def passed() -> dict[str, Any]:
    found = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    environment: dict[str, Any] = found["services"]["worker"]["environment"]
    return environment


@pytest.mark.parametrize("name", NAMES)
def test_what_the_old_shop_needs_is_passed_on(name: str, passed: dict[str, Any]) -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    default = re.search(rf"^\| `{name}` \| (?:`(.+?)`|empty) \|", page, re.MULTILINE)

    assert default
    assert passed[name] == f"${{{name}:-{default[1] or ''}}}"
