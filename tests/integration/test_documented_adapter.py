"""The adapter of the how-to page keeps the contract of all in `legacy_adapters`, as it says."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "write-an-adapter.md"


def run_block(beginning: str) -> dict[str, object]:
    """Execute the block of Python that begins so, and return its names."""
    blocks = re.findall(r"```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    names: dict[str, object] = {"__name__": __name__}
    code = next(each for each in blocks if each.startswith(beginning))
    exec(compile(code, str(PAGE), "exec"), names)  # what the page says is what is tried
    return names


def _module(name: str, **names: object) -> ModuleType:
    found = ModuleType(name)
    vars(found).update(names)
    return found


_ADAPTER = run_block("# shop/old_files.py")
_SHOP = {
    "shop": _module("shop"),
    "shop.old_files": _module("shop.old_files", **_ADAPTER),
}
sys.modules.update(_SHOP)
try:
    TestFiles = run_block("# tests/test_old_files.py")["TestFiles"]
finally:
    for each in _SHOP:
        del sys.modules[each]
