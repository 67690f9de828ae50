"""Ask the gateway what became of refunds whose answer was lost. It is asked, never sent again."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from django.db import Error as DatabaseError
from django.db import transaction
from django.db.models import Q

from funnel.conf import get_conf
from funnel.payments.gateway import Outcome
from funnel.payments.recovery.gateways import gateway_named
from funnel.payments.refunds.models import Refund
from funnel.payments.refunds.refunding import reversal_of
from funnel.payments.refunds.settling import settle_refund
from funnel.payments.verdicts import pause
from sessions_unified import get_manager
from sessions_unified.exceptions import SessionsUnifiedError

if TYPE_CHECKING:
    from datetime import datetime

logger = logging.getLogger(__name__)

# Far below the tasks' limit, beside the sweep of charges.
RUN_SECONDS: Final = 60
_AT_ONCE: Final = 100
# A gateway that failed so often in one run is left in peace until the next.
_FAILURES: Final = 3
_ACTOR: Final = "sweeper"
_ASKED: Final = (Refund.State.CLAIMED, Refund.State.UNKNOWN)


def ask_due(now: datetime, *, limit: int = _AT_ONCE, seconds: float = RUN_SECONDS) -> int:
    """Ask for the refunds that are due; return how many were asked for.

    Several sweepers at once share them: each is taken with its next time moved on first. It stops
    when the time is up, and when the gateway has failed several times.
    """
    deadline = time.monotonic() + seconds
    asked = failures = 0
    while asked < limit and failures < _FAILURES and time.monotonic() < deadline:
        refund = _take(now)
        if refund is None:
            break
        asked += 1
        try:
            failures += not _ask(refund, now)
        except (SessionsUnifiedError, DatabaseError) as exc:
            logger.warning("Refund %s is left to a later sweep: %s", refund.pk, exc)
    return asked


def _take(now: datetime) -> Refund | None:
    """Take one refund past its lease whose time has come."""
    # A claimed one is due only after its lease: until then its own request may still send it.
    is_free = Q(state=Refund.State.UNKNOWN) | Q(state=Refund.State.CLAIMED, lease_until__lte=now)
    with transaction.atomic():
        # Neither session nor attempt is locked here, and T2 locks them first: nobody waits.
        due = Refund.objects.select_for_update(skip_locked=True, of=("self",)).filter(
            is_free, next_check_at__lte=now
        )
        refund = due.select_related("attempt").order_by("next_check_at").first()
        if refund is not None:
            refund.next_check_at = now + pause(refund.checks)
            refund.save(update_fields=["next_check_at"])
        return refund


def _ask(refund: Refund, now: datetime) -> bool:
    """Ask for one refund and settle what is said; return whether its gateway could be asked.

    One that cannot be is asked again later, and that does not count towards a review.
    """
    gateway = gateway_named(refund.gateway)
    if gateway is None:
        logger.error("Gateway %s of refund %s is not configured here", refund.gateway, refund.pk)
        return True
    try:
        receipt = gateway.query_reversal(reversal_of(refund))
    except Exception as exc:  # noqa: BLE001  (whatever a gateway raises: there is no answer)
        logger.warning("The gateway did not tell of a refund: %s", type(exc).__name__)
        return False
    if receipt is None or receipt.outcome is Outcome.UNKNOWN:
        _note_inconclusive(refund.pk, now)
    else:
        manager = get_manager()
        manager.actor = _ACTOR
        settle_refund(manager, refund.pk, receipt)
    return True


def _note_inconclusive(refund_id: int, now: datetime) -> None:
    """Ask less and less often; at last a person has to look."""
    with transaction.atomic():
        refund = Refund.objects.select_for_update().get(pk=refund_id)
        if refund.state not in _ASKED:
            return  # a webhook or its request settled it meanwhile
        refund.checks += 1
        refund.state = Refund.State.UNKNOWN
        refund.next_check_at = now + pause(refund.checks)
        if refund.checks >= get_conf().CHECKS_BEFORE_REVIEW:
            refund.state = Refund.State.NEEDS_REVIEW
            refund.review_since = now
            refund.next_check_at = None
        refund.save()
