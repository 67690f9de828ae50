"""The wire format: camelCase JSON as the shop's clients speak it; amounts are numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sessions_unified.snapshot import Product, SessionSnapshot

# What opens a card, as old shops name it inside of other objects too: it is for the server alone.
SECRET_KEYS: Final = frozenset({"vaultid", "vault_id", "paymenttoken", "payment_token"})

# The one key of metadata that is the shop's own: what an import kept of a legacy record.
INTERNAL_METADATA: Final = "legacy"


def to_wire(session: SessionSnapshot, *, shows_internal: bool = False) -> dict[str, Any]:
    """Return what clients see of a session. ``paymentToken`` and ``vaultId`` stay here.

    ``shows_internal``, for services and staff: with `INTERNAL_METADATA`, which shoppers do not see.
    """
    metadata: Mapping[str, Any] = session.metadata
    if not shows_internal and INTERNAL_METADATA in metadata:
        metadata = {key: value for key, value in metadata.items() if key != INTERNAL_METADATA}
    return {
        "id": session.id,
        "email": session.email,
        "status": session.status,
        "currentStep": session.current_step,
        "customer": without_secrets(session.customer),
        "products": [_product(product) for product in session.products],
        "amount": session.amount,
        "currency": session.currency,
        "transactionId": session.transaction_id,
        "upsells": {
            "accepted": session.upsells.accepted,
            "declined": session.upsells.declined,
            "details": session.upsells.details,
        },
        "metadata": metadata,
        "version": session.version,
        "createdAt": session.created_at,
        "updatedAt": session.updated_at,
        "expiresAt": session.expires_at,
    }


def without_secrets(value: Any) -> Any:
    """Return JSON without the keys that open a card (`SECRET_KEYS`), at any depth."""
    if isinstance(value, dict):
        return {
            name: without_secrets(item)
            for name, item in value.items()
            if name.lower() not in SECRET_KEYS
        }
    return [without_secrets(item) for item in value] if isinstance(value, list | tuple) else value


def _product(product: Product) -> dict[str, Any]:
    return {
        "id": product.id,
        "name": product.name,
        "price": product.price,
        "quantity": product.quantity,
    }
