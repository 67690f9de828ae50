"""Whom declines are counted for: the session, and keyed hashes of address and card."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.utils.crypto import salted_hmac

from funnel.payments.card_testing.models import CardTestingStop

if TYPE_CHECKING:
    from funnel.payments.payer import Payer

Scope = CardTestingStop.Scope
_SALT: Final = "funnel.card_testing"


@dataclass(frozen=True, kw_only=True)
class Subjects:
    """Who pays, as it is counted and stored.

    Attributes:
        session: the session's id.
        address: keyed hash of the network address; empty if not known.
        card: keyed hash of the card's fingerprint; empty if not known.

    """

    session: str
    address: str = ""
    card: str = ""

    def of(self, scope: str) -> str:
        """Return the subject in one scope; empty if not known."""
        return {Scope.SESSION: self.session, Scope.ADDRESS: self.address, Scope.CARD: self.card}[
            Scope(scope)
        ]


def subjects_of(session_id: str, payer: Payer) -> Subjects:
    """Return the subjects of a charge. Under another ``SECRET_KEY`` counts start anew."""
    return Subjects(
        session=session_id,
        address=_hash(Scope.ADDRESS, payer.address),
        card=_hash(Scope.CARD, payer.fingerprint),
    )


def _hash(scope: Scope, text: str | None) -> str:
    """Return the hash under a key made of ``SECRET_KEY`` for this scope: 64 hexadecimal digits."""
    if not text:
        return ""
    return salted_hmac(f"{_SALT}.{scope.value}", text, algorithm="sha256").hexdigest()
