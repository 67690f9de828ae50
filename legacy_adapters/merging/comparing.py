"""Whether a legacy record and our session say the same, field by field; what parity counts."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import msgspec

from legacy_adapters.fields.writing import milliseconds
from legacy_adapters.merging.answers import settled as settled_answers
from legacy_adapters.merging.person import is_empty
from legacy_adapters.merging.references import plain_email
from legacy_adapters.stores import Store
from sessions_unified.flow import COMPLETED, EXPIRED, get_flow
from sessions_unified.snapshot import SessionSnapshot, Upsells
from sessions_unified.wire import INTERNAL_METADATA

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    _Comparer = Callable[[Any, Any], bool]

# Bookkeeping: what it is on one side says nothing of the other.
_NOT_COMPARED: Final = frozenset({"version", "updated_at", "expires_at"})
COMPARED: Final = tuple(
    name for name in SessionSnapshot.__struct_fields__ if name not in _NOT_COMPARED
)

KEPT_ASIDE: Final = frozenset({"metadata"})
"""Where a session keeps what has no other place in it: no format names it, all of them fill it."""

_COOKIES: Final = frozenset({Store.COOKIE, Store.MEMORY_CACHE})

_numbers = msgspec.json.Encoder(decimal_format="number")


def differing(
    legacy: SessionSnapshot,
    unified: SessionSnapshot,
    *,
    fields: frozenset[str],
    now: datetime,
    store: Store | None = None,
) -> tuple[str, ...]:
    """Return the names of the fields in which both differ, in the session's order.

    ``fields`` are those that the adapter's format has a place for (`LegacyAdapter.fields`), and
    ``store`` is its kind: a cookie and its copy are younger than their session, and of their
    customer only the keys that they have are compared. A legacy session past its end agrees with
    one that was settled for it: an import settles it.
    """
    same = _SAME | _SAME_OF_COOKIES if store in _COOKIES else _SAME
    compared = {name: same.get(name, _is_same) for name in COMPARED if name in fields}
    plain = _differences(legacy, unified, compared)
    settled = past_end(legacy, now)
    if not plain or settled is legacy:
        return plain
    return min(plain, _differences(settled, unified, compared), key=len)


def past_end(session: SessionSnapshot, now: datetime) -> SessionSnapshot:
    """Return the session as an import settles it past its end; itself, if there is nothing to do.

    The old code gave a paid one the status ``expired`` too.
    """
    is_settled = session.status == COMPLETED or (session.status == EXPIRED and not session.is_paid)
    if is_settled or session.expires_at > now:
        return session
    end = get_flow().end
    changes: dict[str, Any] = {"status": EXPIRED, "payment_token": None}
    if session.is_paid:
        changes |= {"status": end.status, "current_step": end.step}
    return msgspec.structs.replace(session, **changes)


def _differences(
    legacy: SessionSnapshot, unified: SessionSnapshot, compared: Mapping[str, _Comparer]
) -> tuple[str, ...]:
    return tuple(
        name
        for name, is_same in compared.items()
        if not is_same(getattr(legacy, name), getattr(unified, name))
    )


def _is_same(there: Any, here: Any) -> bool:
    return bool(_plain(there) == _plain(here))


def _is_same_email(there: str | None, here: str | None) -> bool:
    return plain_email(there) == plain_email(here)


def _is_same_birth(there: datetime, here: datetime) -> bool:
    return milliseconds(there) == milliseconds(here)


def _is_no_older(there: datetime, here: datetime) -> bool:
    return milliseconds(there) >= milliseconds(here)


def _has_same_customer(there: Any, here: Any) -> bool:
    return _has_all(_plain(here) or {}, _plain(there) or {})


def _are_same_answers(there: Upsells, here: Upsells) -> bool:
    """Compare the offers as sets, each settled by what either side can prove.

    The details have no place in any legacy format.
    """
    details = here.details | there.details
    both = [
        settled_answers(msgspec.structs.replace(each, details=details)) for each in (there, here)
    ]
    first, second = [(set(each.accepted), set(each.declined)) for each in both]
    return first == second


def _is_same_metadata(there: Mapping[str, Any], here: Mapping[str, Any]) -> bool:
    """Compare what the legacy store keeps for itself: the rest is not its business."""
    return _has_all(
        _plain(here).get(INTERNAL_METADATA) or {}, _plain(there).get(INTERNAL_METADATA) or {}
    )


def _has_all(here: Mapping[str, Any], there: Mapping[str, Any]) -> bool:
    return all(here.get(key) == value for key, value in there.items() if not is_empty(value))


def _plain(value: Any) -> Any:
    """Return the value as it is after a way through the database's JSON."""
    if isinstance(value, str | Decimal | datetime | None):
        return value
    return msgspec.json.decode(_numbers.encode(value))


_SAME: Final[dict[str, _Comparer]] = {
    "email": _is_same_email,
    "created_at": _is_same_birth,
    "upsells": _are_same_answers,
    "metadata": _is_same_metadata,
}
_SAME_OF_COOKIES: Final[dict[str, _Comparer]] = {
    "created_at": _is_no_older,
    "customer": _has_same_customer,
}
