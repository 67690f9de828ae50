"""JSON values with their types: to Python 1, 1.0 and True are equal, to JSON they are not."""

from __future__ import annotations

from typing import Any

from sessions_unified.snapshot import Product, SessionSnapshot, Upsells

JSON_FIELDS = ("customer", "products", "upsells", "metadata")


def typed(value: Any) -> Any:
    """Return the value as text, objects by name, so that only the very same are equal."""
    if isinstance(value, dict):
        return {name: typed(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [typed(item) for item in value]
    if isinstance(value, Product):
        return [value.id, value.quantity, value.price, typed(value.extra)]
    if isinstance(value, Upsells):
        return [value.accepted, value.declined, typed(value.details)]
    return f"{type(value).__name__} {value!r}"


def typed_json(session: SessionSnapshot) -> dict[str, Any]:
    """Return what a session holds of JSON, typed."""
    return {name: typed(getattr(session, name)) for name in JSON_FIELDS}
