"""What each tier and each other store holds of one session now, field by field, for the eye."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sessions_unified.admin.formatting import NOTHING, presence
from sessions_unified.exceptions import SealedValueError, TierUnavailableError
from sessions_unified.health import differences
from sessions_unified.masking import mask_email, mask_json
from sessions_unified.other_copies import other_copies

if TYPE_CHECKING:
    from collections.abc import Collection

    from sessions_unified.other_copies import OtherCopy
    from sessions_unified.snapshot import Product, SessionSnapshot, Upsells
    from sessions_unified.tiers import Copy, Tier, Tiers

FIELDS: Final = (
    *("version", "status", "current_step", "email", "customer", "products", "amount", "currency"),
    *("transaction_id", "vault_id", "payment_token", "upsells", "metadata"),
    *("created_at", "updated_at", "expires_at"),
)
_CHARGE_FACTS: Final = frozenset({"amount", "currency", "transactionId", "acceptedAt"})


@dataclass(frozen=True, kw_only=True)
class Column:
    """One tier, or one store outside the tiers.

    Attributes:
        where: whose memory, which server.
        state: a few words: how old the copy is, or why there is none.
        kind: ``holds``, ``empty`` or ``error``, for its look.
        other: the copy outside the tiers, which may have no place for every field.

    """

    name: str
    where: str
    state: str
    kind: str
    session: SessionSnapshot | None
    other: OtherCopy | None = None

    def differing(self, truth: SessionSnapshot | None) -> Collection[str]:
        """Return the fields in which it differs from the database."""
        if self.session is None:
            return ()
        if self.other is not None:
            return self.other.differences(truth)
        return FIELDS if truth is None else differences(truth, self.session)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One field in one column; ``differs`` from the database's."""

    text: str
    differs: bool


@dataclass(frozen=True, kw_only=True)
class Line:
    """One field across the columns."""

    field: str
    cells: tuple[Cell, ...]

    @property
    def differs(self) -> bool:
        """Whether any differs from the database."""
        return any(cell.differs for cell in self.cells)


@dataclass(frozen=True, kw_only=True)
class SideBySide:
    """The whole table.

    Attributes:
        truth: what the database holds.
        without: (name, why) of the stores outside the tiers that have no column: nothing to show.

    """

    truth: SessionSnapshot | None
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    without: tuple[tuple[str, str], ...]

    @property
    def is_empty(self) -> bool:
        """Whether nobody holds anything."""
        return all(column.session is None for column in self.columns)


def side_by_side(tiers: Tiers, session_id: str, *, shows_pii: bool) -> SideBySide:
    """Look everywhere, leaving no trace; personal data masked unless ``shows_pii``."""
    memory = f"this web process: {os.getpid()} on {socket.gethostname()}"
    within = (
        _column(tiers, tiers.memory, session_id, name="memory", where=memory),
        _column(tiers, tiers.redis, session_id, name="redis", where="shared by all processes"),
        _column(tiers, tiers.database, session_id, name="database", where="the truth"),
    )
    truth = within[-1].session
    others = other_copies(session_id)
    columns = (*within, *(_outside(copy) for copy in others if copy.session is not None))
    differing = [column.differing(truth) for column in columns]
    lines = tuple(
        Line(
            field=field,
            cells=tuple(
                Cell(text=_cell(field, column, shows_pii), differs=field in names)
                for column, names in zip(columns, differing, strict=True)
            ),
        )
        for field in FIELDS
    )
    without = tuple(
        (copy.name, copy.error or "holds nothing") for copy in others if copy.session is None
    )
    return SideBySide(truth=truth, columns=columns, lines=lines, without=without)


def _outside(copy: OtherCopy) -> Column:
    return Column(
        name=copy.name,
        where="beside the tiers",
        state="read now",
        kind="holds",
        session=copy.session,
        other=copy,
    )


def _column(tiers: Tiers, tier: Tier | None, session_id: str, *, name: str, where: str) -> Column:
    copy, kind, state = _look(tiers, tier, session_id)
    session = None if copy is None else copy.session
    return Column(name=name, where=where, state=state, kind=kind, session=session)


def _look(tiers: Tiers, tier: Tier | None, session_id: str) -> tuple[Copy | None, str, str]:
    if tier is None:
        return None, "empty", "not in use here"
    try:
        copy = tier.peek(session_id)
    except (TierUnavailableError, SealedValueError) as exc:
        return None, "error", str(exc)
    if copy is None:
        return None, "empty", "holds nothing"
    if tier is tiers.database:
        return copy, "holds", "read now"
    age = max(0.0, (tiers.clock.now() - copy.true_at).total_seconds())
    is_cut = tier is tiers.memory and tiers.channel is not None and not tiers.channel.is_alive()
    return copy, "holds", f"{age:.1f} s old{', bypassed: no invalidation now' if is_cut else ''}"


def _cell(field: str, column: Column, shows_pii: bool) -> str:
    if column.session is None or (column.other is not None and not column.other.speaks_of(field)):
        return ""
    return field_text(field, getattr(column.session, field), shows_pii=shows_pii)


def field_text(field: str, value: Any, *, shows_pii: bool) -> str:
    """Return a field's value for the eye, as its reader may see it."""
    if field in {"vault_id", "payment_token"}:
        return presence(value)
    if value is None:
        return NOTHING
    match field:
        case "email":
            text = value if shows_pii else mask_email(value)
        case "customer" | "metadata":
            text = _json(value if shows_pii else mask_json(value))
        case "products":
            text = "\n".join(_product(each, shows_pii) for each in value)
        case "upsells":
            text = _upsells(value, shows_pii)
        case _:
            text = f"{value:%Y-%m-%d %H:%M:%S.%f}" if isinstance(value, datetime) else value
    return str(text) or NOTHING


def _product(product: Product, shows_pii: bool) -> str:
    price = "" if product.price is None else f" at {product.price}"
    extra = product.extra if shows_pii else mask_json(product.extra)
    return f"{product.quantity} × {product.id}{price}{_json(extra, prefix=' ')}"  # noqa: RUF001


def _upsells(upsells: Upsells, shows_pii: bool) -> str:
    details = {
        offer: detail if shows_pii else _masked_detail(detail)
        for offer, detail in upsells.details.items()
    }
    parts = [f"+ {offer}" for offer in upsells.accepted]
    parts += [f"− {offer}" for offer in upsells.declined]  # noqa: RUF001  (a minus, not a hyphen)
    return "\n".join(parts + ([_json(details)] if details else []))


def _masked_detail(detail: Any) -> Any:
    """Mask what an import may have brought along; the charge's own facts are not personal."""
    if not isinstance(detail, dict):
        return mask_json(detail)
    return {
        name: value if name in _CHARGE_FACTS else mask_json(value) for name, value in detail.items()
    }


def _json(value: Any, prefix: str = "") -> str:
    """Return indented JSON; nothing for an empty object with a prefix."""
    if not value:
        return "" if prefix else NOTHING
    return prefix + msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
