"""What staff without the permission for personal data see of it."""

from __future__ import annotations

from typing import Any

_MASK = "•••"


def mask_email(email: str | None) -> str | None:
    """Return ``a•••@example.org`` for an address."""
    if not email:
        return email
    name, at, domain = email.rpartition("@")
    return f"{name[:1]}{_MASK}{at}{domain}" if at else _MASK


def mask_json(value: Any) -> Any:
    """Return JSON of the same shape with every leaf masked."""
    if isinstance(value, dict):
        return {name: mask_json(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [mask_json(item) for item in value]
    return value if value is None else _MASK


def mask_session(data: dict[str, Any]) -> dict[str, Any]:
    """Return the wire form of a session with its personal data masked."""
    return data | {
        "email": mask_email(data["email"]),
        "customer": mask_json(data["customer"]),
        "metadata": mask_json(data["metadata"]),
    }
