"""Encryption at rest: keys that rotate, tampering, and rows whose key is missing."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from funnel.payments.models import ChargeAttempt
from sessions_unified import sealing
from sessions_unified.clock import get_clock
from sessions_unified.exceptions import SealedValueError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django.fixtures import SettingsWrapper

VAULT = "v-canary-0123456789"


def key(letter: str) -> str:
    return base64.urlsafe_b64encode(letter.encode() * 32).decode()


def use(settings: SettingsWrapper, **keys: str) -> None:
    settings.SESSIONS_UNIFIED = settings.SESSIONS_UNIFIED | {"ENCRYPTION_KEYS": keys}


@pytest.fixture(autouse=True)
def _forget_keys(settings: SettingsWrapper) -> Iterator[None]:
    use(settings, old=key("o"))
    yield
    sealing._keys.cache_clear()


def test_what_is_sealed_comes_back_and_says_nothing() -> None:
    first, second = sealing.seal(VAULT), sealing.seal(VAULT)

    assert sealing.unseal(first) == sealing.unseal(second) == VAULT
    assert first != second
    assert VAULT not in first
    assert first.startswith("sealed:old:")
    assert sealing.kid_of(first) == "old"


@pytest.mark.parametrize("text", ["", "x", "é" * 300, "sealed:old:AAAA", "a:b:c"])
def test_any_text_can_be_sealed(text: str) -> None:
    assert sealing.unseal(sealing.seal(text)) == text


def test_rotation_old_opens_new_seals_and_a_retired_key_fails(settings: SettingsWrapper) -> None:
    before = sealing.seal(VAULT)

    use(settings, new=key("n"), old=key("o"))
    during = sealing.seal(VAULT)

    assert sealing.unseal(before) == VAULT
    assert (sealing.is_current(before), sealing.is_current(during)) == (False, True)

    use(settings, new=key("n"))

    assert sealing.unseal(during) == VAULT
    with pytest.raises(SealedValueError, match="ENCRYPTION_KEYS"):
        sealing.unseal(before)


def test_a_key_that_seals_for_another_kid_opens_nothing(settings: SettingsWrapper) -> None:
    before = sealing.seal(VAULT)

    use(settings, old=key("x"))

    with pytest.raises(SealedValueError):
        sealing.unseal(before)


@pytest.mark.parametrize("position", range(12, 60, 7))
def test_a_changed_byte_is_noticed(position: int) -> None:
    sealed = sealing.seal(VAULT)
    changed = "A" if sealed[position] != "A" else "B"

    with pytest.raises(SealedValueError):
        sealing.unseal(sealed[:position] + changed + sealed[position + 1 :])


@pytest.mark.parametrize(
    "text", ["sealed:", "sealed:old", "sealed:old:", "sealed:old:AA", "sealed:nobody:AAAA"]
)
def test_what_only_looks_sealed_is_refused(text: str) -> None:
    with pytest.raises(SealedValueError):
        sealing.unseal(text)


def test_text_that_was_never_sealed_is_taken_as_it_is() -> None:
    assert sealing.unseal("117041394") == "117041394"
    assert sealing.kid_of("117041394") is None
    assert not sealing.is_current("117041394")


def test_without_keys_djangos_secret_seals_and_its_fallbacks_open(
    settings: SettingsWrapper,
) -> None:
    use(settings)
    settings.SECRET_KEY = "first" * 10
    before = sealing.seal(VAULT)

    settings.SECRET_KEY = "second" * 10
    with pytest.raises(SealedValueError):
        sealing.unseal(before)

    settings.SECRET_KEY_FALLBACKS = ["first" * 10]
    assert sealing.unseal(before) == VAULT
    assert not sealing.is_current(before)


def test_derived_keys_can_be_kept_behind_a_key_of_its_own(settings: SettingsWrapper) -> None:
    use(settings)
    before = sealing.seal(VAULT)
    derived = sealing.derived_keys()

    use(settings, new=key("n"), **derived)

    assert sealing.unseal(before) == VAULT
    assert sealing.seal(VAULT).startswith("sealed:new:")


def test_a_key_that_is_none_is_said_at_once(settings: SettingsWrapper) -> None:
    use(settings, bad="short")

    with pytest.raises(ImproperlyConfigured, match="ENCRYPTION_KEYS"):
        sealing.seal(VAULT)


def attempt(**fields: Any) -> ChargeAttempt:
    now = get_clock().now()
    return ChargeAttempt.objects.create(
        session_id="ws_1_a",
        purpose="checkout",
        step="processing",
        amount=1,
        currency="USD",
        gateway="sandbox",
        gateway_order_id="o1",
        lease_until=now,
        created_at=now,
        **{"vault_id": VAULT, **fields},
    )


def stored(pk: int) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT vault_id FROM funnel_chargeattempt WHERE id = %s", [pk])
        (text,) = cursor.fetchone()
    return str(text)


@pytest.mark.django_db
class TestSealedTextField:
    def test_it_is_sealed_in_the_database_and_plain_in_python(self) -> None:
        made = attempt()

        assert made.vault_id == VAULT
        assert stored(made.pk).startswith("sealed:old:")
        assert ChargeAttempt.objects.get(pk=made.pk).vault_id == VAULT

    def test_values_are_given_sealed(self) -> None:
        made = attempt()

        (value,) = ChargeAttempt.objects.values_list("vault_id", flat=True)

        assert value == stored(made.pk)

    def test_a_row_is_written_again_as_it_was_read(self) -> None:
        before = stored(attempt().pk)
        row = ChargeAttempt.objects.get()

        row.reason = "changed"
        row.save()

        assert stored(row.pk) == before
        row.vault_id = "other"
        row.save()
        assert ChargeAttempt.objects.get().vault_id == "other"
        assert stored(row.pk) != before

    def test_a_row_whose_key_is_missing_is_listed_and_written_but_not_opened(
        self, settings: SettingsWrapper
    ) -> None:
        made = attempt()
        use(settings, new=key("n"))

        row = ChargeAttempt.objects.get()
        row.reason = "changed"
        row.save()

        assert sealing.is_present(row, "vault_id")
        with pytest.raises(SealedValueError):
            _ = row.vault_id
        assert stored(made.pk).startswith("sealed:old:")

    def test_nothing_is_nothing(self) -> None:
        attempt(vault_id=None)

        row = ChargeAttempt.objects.get(vault_id__isnull=True)

        assert row.vault_id is None
        assert not sealing.is_present(row, "vault_id")

    def test_it_cannot_be_searched_for(self) -> None:
        with pytest.raises(TypeError, match="sealed"):
            ChargeAttempt.objects.filter(vault_id=VAULT).exists()

    def test_a_deferred_one_is_opened_when_it_is_read(self) -> None:
        attempt()

        assert ChargeAttempt.objects.defer("vault_id").get().vault_id == VAULT
