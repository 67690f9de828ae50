"""The wire format: camelCase JSON as the shop's clients speak it; amounts are numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sessions_unified.snapshot import Product, SessionSnapshot

# Never sent: what opens or names a card.
SERVER_ONLY = frozenset({"vault_id", "payment_token"})


def to_wire(session: SessionSnapshot) -> dict[str, Any]:
    """Return what clients see of a session. ``paymentToken`` and ``vaultId`` stay here."""
    return {
        "id": session.id,
        "email": session.email,
        "status": session.status,
        "currentStep": session.current_step,
        "customer": session.customer,
        "products": [_product(product) for product in session.products],
        "amount": session.amount,
        "currency": session.currency,
        "transactionId": session.transaction_id,
        "upsells": {
            "accepted": session.upsells.accepted,
            "declined": session.upsells.declined,
            "details": session.upsells.details,
        },
        "metadata": session.metadata,
        "version": session.version,
        "createdAt": session.created_at,
        "updatedAt": session.updated_at,
        "expiresAt": session.expires_at,
    }


def _product(product: Product) -> dict[str, Any]:
    return {
        "id": product.id,
        "name": product.name,
        "price": product.price,
        "quantity": product.quantity,
    }
