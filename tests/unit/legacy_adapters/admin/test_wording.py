"""Values of conflicts, as their reader may see them."""

from __future__ import annotations

from typing import Any

import pytest

from legacy_adapters.admin.wording import noted_text, rule_text, value_text


@pytest.mark.parametrize("name", ["vault_id", "payment_token"])
@pytest.mark.parametrize("shows_pii", [True, False])
def test_what_opens_a_card_is_never_shown_whole(name: str, shows_pii: bool) -> None:
    assert value_text(name, "117041394", shows_pii=shows_pii) == "…1394"
    assert value_text(name, "1170413", shows_pii=shows_pii) == "…"


def test_personal_data_is_masked() -> None:
    assert value_text("email", "ana@example.org", shows_pii=False) == "a•••@example.org"
    assert "Ana" not in value_text("customer", {"firstName": "Ana"}, shows_pii=False)


@pytest.mark.parametrize(
    ("noted", "text"),
    [
        (None, "–"),  # noqa: RUF001
        ([], "–"),  # noqa: RUF001
        ("pending", "pending"),
        ({"cookie": "a•••@example.org"}, "a•••@example.org"),
        ({"cookie": "1", "database": "2"}, '{"cookie":"1","database":"2"}'),
    ],
)
def test_what_was_noted(noted: Any, text: str) -> None:
    assert noted_text(noted) == text


def test_the_rules_speak() -> None:
    assert "Trusted copies must agree" in rule_text("email")
    assert rule_text("nothing") == ""
