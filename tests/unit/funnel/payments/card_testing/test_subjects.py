"""What is stored of who pays: keyed hashes, one key a scope."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from funnel.payments.card_testing.subjects import Scope, subjects_of
from funnel.payments.payer import NOBODY, Payer

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

ANA = Payer(address="192.0.2.1", fingerprint="192.0.2.1")


def test_a_subject_is_a_hash_that_is_the_same_each_time() -> None:
    first, second = subjects_of("s1", ANA), subjects_of("s2", ANA)

    assert len(first.address) == len(first.card) == 64
    assert (first.address, first.card) == (second.address, second.card)
    assert [first.of(scope) for scope in Scope] == ["s1", first.address, first.card]


def test_an_address_and_a_card_of_the_same_text_differ() -> None:
    subjects = subjects_of("s", ANA)

    assert subjects.address != subjects.card


def test_nobody_can_find_an_address_by_hashing_them_all(settings: SettingsWrapper) -> None:
    found = subjects_of("s", ANA).address
    settings.SECRET_KEY = "another"

    assert subjects_of("s", ANA).address != found
    assert found != hashlib.sha256(b"192.0.2.1").hexdigest()


def test_what_is_not_known_has_no_hash() -> None:
    assert subjects_of("s", NOBODY).address == ""
    assert subjects_of("s", Payer(address="", fingerprint="")).card == ""


def test_a_payer_is_not_shown() -> None:
    assert "192.0.2.1" not in repr(ANA)
