"""Whose session it is and what opens its money: the address, and the gateway's references."""

from __future__ import annotations

import unicodedata
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeGuard

from legacy_adapters.base import LAST_VAULT_UPDATE
from legacy_adapters.fields.reading import kept_of
from legacy_adapters.merging.progress import status
from legacy_adapters.stores import Store
from sessions_unified.flow import PENDING

if TYPE_CHECKING:
    from legacy_adapters.merging.candidates import Candidate
    from legacy_adapters.merging.copies import Copies


def email(copies: Copies) -> str | None:
    """Return the most trusted address, as its store wrote it."""
    return next((each.session.email for each in copies.believed if each.session.email), None)


def plain_email(value: str | None) -> str:
    """Return an address as it is compared: NFC, whatever its case."""
    composed = unicodedata.normalize("NFC", (value or "").strip())
    return unicodedata.normalize("NFC", composed.casefold())


def is_email_contradicted(copies: Copies) -> bool:
    """Tell whether trusted copies name different addresses."""
    return len({plain_email(each.session.email) for each in copies.saying("email")}) > 1


def transaction_id(copies: Copies) -> str | None:
    """Return the most trusted transaction."""
    return next((each.session.transaction_id for each in copies.saying("transaction_id")), None)


def is_transaction_contradicted(copies: Copies) -> bool:
    """Tell whether trusted copies name different transactions."""
    return len({each.session.transaction_id for each in copies.saying("transaction_id")}) > 1


def vault_id(copies: Copies) -> str | None:
    """Return the most recently updated vault id; where nothing decides it, the most trusted."""
    saying = _saying_vault(copies)
    newest = _newest(saying)
    return newest or next((each.session.vault_id for each in saying), None)


def is_vault_contradicted(copies: Copies) -> bool:
    """Tell whether trusted copies name different vault ids."""
    return len({each.session.vault_id for each in _saying_vault(copies)}) > 1


def is_vault_undecided(copies: Copies) -> bool:
    """Tell whether they do, and no time of an update says which is the newest."""
    return is_vault_contradicted(copies) and _newest(_saying_vault(copies)) is None


def _saying_vault(copies: Copies) -> tuple[Candidate, ...]:
    """Return those with a vault id; an older copy too, where it knows the time of its update."""
    saying = copies.saying("vault_id")
    timed = [
        each
        for each in copies.trusted
        if each.store is Store.COPY and each.session.vault_id and vault_updated(each) is not None
    ]
    return (*saying, *(each for each in timed if each not in saying))


def _newest(saying: tuple[Candidate, ...]) -> str | None:
    """Return the vault id with the newest update; None: two have it, or our own row has no time.

    Our own row without a time has its vault id from a charge of ours, which no cookie outdates.
    """
    timed = [(vault_updated(each), each) for each in saying]
    if any(time is None and each.store is Store.UNIFIED for time, each in timed):
        return None
    latest = max((time for time, _ in timed if time is not None), default=None)
    if latest is None:
        return None
    found = {each.session.vault_id for time, each in timed if time == latest}
    return found.pop() if len(found) == 1 else None


def vault_updated(candidate: Candidate) -> float | Decimal | None:
    """Return the newest time of an update of the vault id that a copy knows of (epoch ms)."""
    stores = [store for store in Store if store.is_trusted]
    said = [kept_of(candidate.session, store).get(LAST_VAULT_UPDATE) for store in stores]
    return max((each for each in said if is_time(each)), default=None)


def is_time(value: Any) -> TypeGuard[float | Decimal]:
    """Tell whether a value that was kept is a time in epoch ms."""
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def payment_token(copies: Copies) -> str | None:
    """Return the most trusted token, while there is something to pay."""
    if status(copies) != PENDING:
        return None
    return next((each.session.payment_token for each in copies.saying("payment_token")), None)
