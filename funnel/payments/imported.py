"""What another shop system charged, as attempts of the gateway ``imported``.

An imported shopper is never charged for what is paid: a transaction becomes a succeeded attempt of
the order, each accepted upsell one of its own; a session whose payment was under way may have been
charged, so that becomes ``needs_review`` and the session is held until a person decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from django.db.models import F

from funnel import flow
from funnel.catalog import OFFERS
from funnel.payments.models import CHECKOUT, ChargeAttempt, upsell_purpose
from sessions_unified.clock import get_clock
from sessions_unified.models import UnifiedSession

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from datetime import datetime

    from sessions_unified.snapshot import SessionSnapshot

GATEWAY: Final = "imported"
State = ChargeAttempt.State
_GIVEN_BACK: Final = (State.REFUNDED, State.VOIDED)
_DOUBTED: Final = (State.NEEDS_REVIEW, State.DECLINED, State.REJECTED)


def record_imported(sessions: Sequence[SessionSnapshot]) -> None:
    """Write the attempts of a batch; inside the import's transaction. Repeating adds nothing.

    What an attempt of this shop has paid, or may have, is not written beside it; nor is what it
    has given back: a session that was paid here still names its transaction.
    """
    wanted = {
        attempt.gateway_order_id: attempt
        for session in sessions
        for attempt in _attempts(session, get_clock().now())
    }
    if not wanted:
        return
    known = {
        attempt.gateway_order_id: attempt
        for attempt in ChargeAttempt.objects.select_for_update().filter(
            gateway=GATEWAY, gateway_order_id__in=wanted
        )
    }
    taken = _taken(sessions)
    new = [
        attempt
        for order_id, attempt in wanted.items()
        if order_id not in known and (attempt.session_id, attempt.purpose) not in taken
    ]
    _keep_transactions_unique(new)
    ChargeAttempt.objects.bulk_create(new)
    _change_holds(Counter(a.session_id for a in new if a.is_open), 1)
    _settle_doubted(wanted, known, taken)
    _follow_cards(wanted, known)


def _taken(sessions: Iterable[SessionSnapshot]) -> set[tuple[str, str]]:
    """Return the session and purpose of what this shop's attempts have paid, or may have."""
    named = {(session.id, purpose): id_ for session in sessions for purpose, id_ in _named(session)}
    found = ChargeAttempt.objects.filter(
        session_id__in={session_id for session_id, _ in named},
        state__in=(*ChargeAttempt.BLOCKING, *_GIVEN_BACK),
    ).values_list("session_id", "purpose", "state", "transaction_id")
    return {
        (session_id, purpose)
        for session_id, purpose, state, transaction_id in found
        if state not in _GIVEN_BACK
        or (transaction_id and named.get((session_id, purpose)) == transaction_id)
        or (purpose != CHECKOUT and state == State.REFUNDED)
    }


def _named(session: SessionSnapshot) -> Iterator[tuple[str, str | None]]:
    """Yield the transactions that a session names, by their purpose."""
    yield CHECKOUT, session.transaction_id
    for offer_id, detail in session.upsells.details.items():
        if isinstance(detail, Mapping):
            yield upsell_purpose(offer_id), detail.get("transactionId")


def _attempts(session: SessionSnapshot, now: datetime) -> Iterator[ChargeAttempt]:
    if session.is_paid:
        yield _attempt(session, CHECKOUT, "processing", State.SUCCEEDED, now)
    elif flow.is_payment_open(session):
        yield _attempt(session, CHECKOUT, "processing", State.NEEDS_REVIEW, now)
    for offer_id in session.upsells.accepted:
        offer = OFFERS.get(offer_id)
        step = offer.step if offer is not None else session.current_step
        yield _attempt(session, upsell_purpose(offer_id), step, State.SUCCEEDED, now)


def _attempt(
    session: SessionSnapshot, purpose: str, step: str, state: State, now: datetime
) -> ChargeAttempt:
    is_order = purpose == CHECKOUT
    return ChargeAttempt(
        session_id=session.id,
        purpose=purpose,
        step=step,
        state=state,
        # What an upsell cost in the old shop is not on record.
        amount=session.amount if is_order and (session.amount or 0) > 0 else None,
        currency=session.currency,
        gateway=GATEWAY,
        gateway_order_id=f"{session.id}:{purpose}",
        transaction_id=session.transaction_id if is_order else None,
        vault_id=session.vault_id,
        lease_until=now,
        review_since=now if state == State.NEEDS_REVIEW else None,
        reason="Imported" if state == State.SUCCEEDED else "Imported while processing",
        created_at=session.created_at,
        settled_at=session.updated_at if state == State.SUCCEEDED else None,
    )


def _keep_transactions_unique(attempts: Sequence[ChargeAttempt]) -> None:
    """Move a transaction id that another session claims already into the attempt's notes."""
    ids = [attempt.transaction_id for attempt in attempts if attempt.transaction_id]
    taken = set(
        ChargeAttempt.objects.filter(gateway=GATEWAY, transaction_id__in=ids).values_list(
            "transaction_id", flat=True
        )
    )
    for attempt in attempts:
        if attempt.transaction_id in taken:
            attempt.response = {"sharedTransactionId": attempt.transaction_id}
            attempt.transaction_id = None
        elif attempt.transaction_id:
            taken.add(attempt.transaction_id)


def _settle_doubted(
    wanted: dict[str, ChargeAttempt],
    known: dict[str, ChargeAttempt],
    taken: Collection[tuple[str, str]],
) -> None:
    """Settle what was in doubt, or found unpaid by a person, and a later import says is paid.

    Not what was found unpaid and has been paid here since.
    """
    for order_id, attempt in known.items():
        fresh, was_open = wanted[order_id], attempt.is_open
        if attempt.state not in _DOUBTED or fresh.state != State.SUCCEEDED:
            continue
        if not was_open and (attempt.session_id, attempt.purpose) in taken:
            continue
        _keep_transactions_unique([fresh])
        attempt.state = State.SUCCEEDED
        attempt.review_since = None
        attempt.transaction_id = fresh.transaction_id
        attempt.vault_id = fresh.vault_id
        attempt.settled_at = fresh.settled_at
        attempt.save()
        if was_open:
            _change_holds(Counter([attempt.session_id]), -1)


def _follow_cards(wanted: dict[str, ChargeAttempt], known: dict[str, ChargeAttempt]) -> None:
    """Take over the stored card that a later import brings: extras are charged to it."""
    for order_id, attempt in known.items():
        if attempt.vault_id != wanted[order_id].vault_id:
            attempt.vault_id = wanted[order_id].vault_id
            attempt.save(update_fields=["vault_id"])


def _change_holds(counts: Counter[str], sign: int) -> None:
    for number in set(counts.values()):
        ids = [session_id for session_id, count in counts.items() if count == number]
        sessions = UnifiedSession.objects.filter(pk__in=ids)
        sessions.update(holds=F("holds") + sign * number)
