"""One session's page: everything known of it, masked as its reader may see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_aware

from sessions_unified.admin.formatting import (
    NOTHING,
    badge,
    ends_at,
    facts,
    identifier,
    marks,
    money,
    presence,
    when,
)
from sessions_unified.admin.side_by_side import SideBySide, side_by_side
from sessions_unified.admin.timeline import Entry, timeline
from sessions_unified.masking import mask_email, mask_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from django.utils.safestring import SafeString

    from sessions_unified.health import SessionHealth
    from sessions_unified.models import UnifiedSession
    from sessions_unified.snapshot import Product, SessionSnapshot
    from sessions_unified.tiers import Tiers

Facts = list[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One more box on the page, from a site: its heading, its template, what that is given."""

    title: str
    template: str
    context: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class OrderLine:
    """One product as it was ordered."""

    id: str
    name: str
    quantity: int
    price: str
    total: str
    extra: Facts


@dataclass(frozen=True, kw_only=True)
class Upsell:
    """One offer and the shopper's answer."""

    offer: str
    answer: str
    amount: str
    transaction: str
    at: SafeString | str


@dataclass(frozen=True, kw_only=True)
class SessionPage:
    """What the template shows; everything but ``row`` is safe for this reader.

    Attributes:
        moments: when it was created, ends and so on, each with its label.

    """

    row: UnifiedSession
    badge: SafeString
    marks: list[SafeString]
    moments: list[tuple[str, SafeString | str]]
    identifier: SafeString
    email: str
    customer: Facts
    lines: list[OrderLine]
    money: Facts
    upsells: list[Upsell]
    metadata: Facts
    tiers: SideBySide
    timeline: list[Entry]
    health: SessionHealth
    shows_pii: bool


def build_page(
    tiers: Tiers, row: UnifiedSession, health: SessionHealth, *, shows_pii: bool
) -> SessionPage:
    """Gather the page. ``row`` may be a tombstone."""
    table = side_by_side(tiers, row.pk, shows_pii=shows_pii)
    session = table.truth
    now = tiers.clock.now()
    return SessionPage(
        row=row,
        badge=badge(row.status),
        marks=marks(row),
        moments=_moments(row, now),
        identifier=identifier(row.pk),
        email=_email(session, shows_pii),
        customer=_object(session.customer if session else None, shows_pii),
        lines=[_line(each, session, shows_pii) for each in session.products] if session else [],
        money=_money(row, session),
        upsells=_upsells(session, now) if session else [],
        metadata=_object(session.metadata if session else None, shows_pii),
        tiers=table,
        timeline=timeline(row.pk, now),
        health=health,
        shows_pii=shows_pii,
    )


def _moments(row: UnifiedSession, now: datetime) -> list[tuple[str, SafeString | str]]:
    end = ends_at(row)
    if row.deleted_at is not None:
        last = ("deleted", row.deleted_at)
    else:
        last = ("ends" if end > now else "ended", end)
    moments = [("created", row.created_at), ("last seen", row.last_seen_at), last]
    return [(label, when(moment, now)) for label, moment in moments if moment is not None]


def _email(session: SessionSnapshot | None, shows_pii: bool) -> str:
    email = session.email if session else None
    return (email if shows_pii else mask_email(email)) or NOTHING


def _object(value: Mapping[str, Any] | None, shows_pii: bool) -> Facts:
    return facts(value if shows_pii else mask_json(value)) if value else []


def _line(product: Product, session: SessionSnapshot, shows_pii: bool) -> OrderLine:
    price = product.price
    total = None if price is None else price * product.quantity
    return OrderLine(
        id=product.id,
        name=product.name,
        quantity=product.quantity,
        price=money(price, session.currency),
        total=money(total, session.currency),
        extra=_object(product.extra, shows_pii),
    )


def _money(row: UnifiedSession, session: SessionSnapshot | None) -> Facts:
    amount = session.amount if session else row.amount
    return [
        ("Order", money(amount, row.currency)),
        ("Transaction", row.transaction_id or NOTHING),
        ("Card in the vault", presence(row.vault_id)),
        ("Payment token", presence(row.payment_token)),
        ("Open charges (holds)", str(row.holds)),
    ]


def _upsells(session: SessionSnapshot, now: datetime) -> list[Upsell]:
    upsells = session.upsells
    answers = [(offer, "accepted") for offer in upsells.accepted]
    answers += [(offer, "declined") for offer in upsells.declined]
    return [_upsell(session, offer, answer, now) for offer, answer in answers]


def _upsell(session: SessionSnapshot, offer: str, answer: str, now: datetime) -> Upsell:
    detail = session.upsells.details.get(offer)
    known: Mapping[str, Any] = detail if isinstance(detail, dict) else {}
    return Upsell(
        offer=offer,
        answer=answer,
        amount=_amount(known.get("amount"), str(known.get("currency") or session.currency)),
        transaction=str(known.get("transactionId") or NOTHING),
        at=_at(known.get("acceptedAt"), now),
    )


def _at(value: Any, now: datetime) -> SafeString | str:
    """Return the moment of a detail, which an import may have filled with anything."""
    try:
        moment = parse_datetime(str(value))
    except ValueError:
        moment = None
    return when(moment, now) if moment is not None and is_aware(moment) else NOTHING


def _amount(value: Any, currency: str) -> str:
    """Return the amount of a detail, which an import may have filled with anything."""
    try:
        return NOTHING if value is None else money(Decimal(str(value)), currency)
    except InvalidOperation:
        return NOTHING
