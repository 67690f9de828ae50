"""Values and rules of conflicts, as their reader may see them."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from legacy_adapters.merging.redacting import reference
from legacy_adapters.merging.rules import RULES
from sessions_unified.admin.formatting import NOTHING
from sessions_unified.admin.side_by_side import field_text

_SECRET: Final = frozenset({"vault_id", "payment_token"})


def value_text(name: str, value: Any, *, shows_pii: bool) -> str:
    """Return a session's value; of what opens a card its end alone, to tell two apart."""
    if name in _SECRET and value:
        return reference(value)
    return field_text(name, value, shows_pii=shows_pii)


def noted_text(value: Any) -> str:
    """Return what was noted of a value; it was redacted before it was kept.

    Of the legacy side that is what each store said, by store; names are given where there are two.
    """
    if value is None or value in ("", [], {}):
        return NOTHING
    if isinstance(value, dict) and len(value) == 1:
        return noted_text(next(iter(value.values())))
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def rule_text(field: str) -> str:
    """Return in a line what the merge's rule does about a field; empty if it has none."""
    rule = RULES.get(field)
    return "" if rule is None else rule.text.replace("`", "")
