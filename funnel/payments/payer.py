"""Who pays, as far as it can be told: for counting declines, never for identifying anybody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True, repr=False)
class Payer:
    """Where a charge's request comes from; kept only as keyed hashes. No repr: it is personal.

    Attributes:
        address: the network address, as `card_testing.addresses` gives it; None if not known.
        fingerprint: what is the same for every payment token of one card, as
            `PaymentGateway.fingerprint` tells; None if it cannot be told. With Collect.js it is
            the browser's word.

    """

    address: str | None = None
    fingerprint: str | None = None


NOBODY: Final = Payer()
