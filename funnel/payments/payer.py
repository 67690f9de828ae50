"""Who pays, as far as it can be told: for counting declines, never for identifying anybody."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Payer:
    """Where a charge's request comes from; kept only as keyed hashes.

    Attributes:
        address: the network address as text; None if it is not known.
        fingerprint: what the browser says is the gateway's fingerprint of the card (Collect.js
            gives one with its token); a gateway that can tell by itself does not ask it.

    """

    address: str | None = None
    fingerprint: str | None = None


NOBODY = Payer()
