"""What is kept of a contradiction for whoever decides it: JSON, with its values redacted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from legacy_adapters.merging.redacting import redacted
from legacy_adapters.merging.rules import RULES
from legacy_adapters.stores import Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from legacy_adapters.merging.candidates import Conflict
    from sessions_unified.snapshot import SessionSnapshot


def of_conflicts(conflicts: Iterable[Conflict]) -> list[dict[str, Any]]:
    """Return the evidence of a merge's conflicts.

    Each is ``{field, rule, blocks, unified, legacy}``: ``unified`` is what our own row says (None
    where there is none, or it says nothing), ``legacy`` what every other store says, by store.
    """
    return [_of_conflict(conflict) for conflict in conflicts]


def of_fields(
    fields: Iterable[str], *, unified: SessionSnapshot, legacy: SessionSnapshot, store: Store
) -> list[dict[str, Any]]:
    """Return the evidence, of the same form, of fields in which both sides differ.

    All of them block: nothing decided them.
    """
    return [
        {
            "field": field,
            "rule": RULES[field].name,
            "blocks": True,
            **_shown(
                field, {Store.UNIFIED: getattr(unified, field), store: getattr(legacy, field)}
            ),
        }
        for field in fields
    ]


def _of_conflict(conflict: Conflict) -> dict[str, Any]:
    return {
        "field": conflict.field,
        "rule": conflict.rule,
        "blocks": conflict.blocks,
        **_shown(conflict.field, conflict.values),
    }


def _shown(field: str, values: Mapping[Store, Any]) -> dict[str, Any]:
    """Return the values redacted: ours, and the others' by store."""
    shown = redacted(field, values)
    ours = (shown.pop(store) for store in (Store.UNIFIED, Store.COPY) if store in shown)
    return {"unified": next(ours, None), "legacy": {str(s): each for s, each in shown.items()}}
