"""What the site's use cases raise; the core's tree, so that one table maps all to answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessions_unified.exceptions import SessionsUnifiedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from funnel.payments.card_testing.refusals import Refusal


class FunnelError(SessionsUnifiedError):
    """The shop could not do what was asked."""

    code = "funnel_error"


class IdempotencyKeyError(FunnelError):
    """Send an Idempotency-Key header: 1 to 255 visible ASCII characters, one an operation."""

    code = "idempotency_key_required"


class IdempotencyKeyReusedError(FunnelError):
    """This Idempotency-Key came with another body before. Use a new key for a new operation."""

    code = "idempotency_key_reused"


class ChargeInFlightError(FunnelError):
    """A charge of this step is under way. Ask again in a moment; nothing is charged twice."""

    code = "charge_in_flight"


class OutcomeUnsettledError(FunnelError):
    """The outcome could not be stored yet. Ask again with the same key, never with a new one."""

    code = "outcome_unsettled"


class NothingToChargeError(FunnelError):
    """The session has no products, so there is nothing to charge."""

    code = "nothing_to_charge"


class OrderChangedError(FunnelError):
    """The order has changed since it was shown, so nothing was charged. Show it again."""

    code = "order_changed"


class NoStoredCardError(FunnelError):
    """This order has no stored card to charge. Send the payment token of a card with the offer."""

    code = "no_stored_card"


class OfferClosedError(FunnelError):
    """This offer is not open: the shopper is at another step, or has answered it."""

    code = "offer_closed"


class UnknownOfferError(FunnelError):
    """There is no such offer."""

    code = "unknown_offer"


class TooManyDeclinesError(FunnelError):
    """Too many payments were declined, so none is tried now. Try again after the time given."""

    code = "too_many_declines"

    def __init__(
        self,
        message: str | None = None,
        *,
        retry_after: int,
        refusals: Sequence[Refusal] = (),
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.refusals = refusals


class ResolutionRefusedError(FunnelError):
    """This charge cannot be decided on so. Look at it again."""

    code = "resolution_refused"


class RefundRefusedError(FunnelError):
    """This cannot be given back. Look at the charge again."""

    code = "refund_refused"
