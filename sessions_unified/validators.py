"""Validators of forms: what staff and shoppers may type anywhere."""

from __future__ import annotations

from typing import Final

from django.core.exceptions import ValidationError

from sessions_unified.card_data import find_card_data

CARD_DATA: Final = "This looks like a card number. Leave it out: cards go into the card form alone."


def no_card_data(text: str) -> None:
    """Refuse text with a card number in it.

    Raises:
        ValidationError: it has one; the message does not quote it.

    """
    if find_card_data(text) is not None:
        raise ValidationError(CARD_DATA, code="card_data_refused")
