"""Why a person decides so, as every form about money asks for it."""

from __future__ import annotations

from typing import Any, Final

from django import forms

from sessions_unified.validators import no_card_data

_LENGTH: Final = 500


class ReasonField(forms.CharField):
    """A few sentences for the books, without a card number in them."""

    def __init__(self, **given: Any) -> None:
        area = forms.Textarea(attrs={"class": "su-wide", "rows": 3})
        super().__init__(
            max_length=_LENGTH, label="Reason", widget=area, validators=[no_card_data], **given
        )
