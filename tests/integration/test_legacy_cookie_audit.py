"""Tokens signed with a compromised secret are counted, logged and recorded, and nothing breaks."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.db import DatabaseError, connection, connections, transaction
from django.test import RequestFactory
from prometheus_client import REGISTRY

from legacy_adapters.cookie import CookieAdapter, sightings
from legacy_adapters.exceptions import CompromisedTokenError, LegacyTokenError
from legacy_adapters.models import RefusedToken
from tests.legacy_tokens import COMPROMISED, SECRET, data, fingerprint_of, shifted, token

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

OTHER = "another-secret-that-is-out-0123456789"


def refuse(session_id: str | None = "ws_1_a", secret: str = COMPROMISED) -> None:
    sightings.note_refused("cookie", CompromisedTokenError(fingerprint_of(secret), session_id))


def rows() -> list[tuple[str, str, int]]:
    found = RefusedToken.objects.order_by("pk")
    return [(row.secret, row.session_id, row.times) for row in found]


@pytest.mark.django_db
class TestRecord:
    def test_one_row_a_secret_and_claimed_id_with_its_count(self) -> None:
        for session_id in ("ws_1_a", "ws_1_b", "ws_1_a", None, "ws_1_a"):
            refuse(session_id)
        refuse("ws_1_a", OTHER)

        ours, other = fingerprint_of(COMPROMISED), fingerprint_of(OTHER)
        assert rows() == [
            (ours, "ws_1_a", 3),
            (ours, "ws_1_b", 1),
            (ours, "", 1),
            (other, "ws_1_a", 1),
        ]
        first = RefusedToken.objects.get(session_id="ws_1_a", secret=ours)
        assert first.source == "cookie"
        assert first.last_seen_at - first.first_seen_at < timedelta(minutes=1)
        assert first.last_seen_at > first.first_seen_at

    def test_a_forger_of_many_ids_fills_no_table(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sightings, "MAX_ROWS", 3)

        for number in range(10):
            refuse(f"ws_1_{number}")
        refuse("ws_1_1")

        assert [row[1:] for row in rows()] == [
            ("ws_1_0", 1),
            ("ws_1_1", 2),
            ("ws_1_2", 1),
            ("", 7),
        ]

    def test_the_bound_is_ten_thousand(self) -> None:
        assert sightings.MAX_ROWS == 10_000

    def test_the_count_ends_where_its_column_does(self) -> None:
        refuse()
        RefusedToken.objects.update(times=2**31 - 1)

        refuse()

        assert rows()[0][2] == 2**31 - 1

    def test_the_log_names_neither_person_nor_secret(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        adapter = CookieAdapter(
            source="cookie",
            request=RequestFactory().get("/"),
            secrets=[SECRET],
            compromised_secrets=[COMPROMISED],
        )
        assert adapter.request is not None
        adapter.request.COOKIES["upsell_session"] = token(secret=COMPROMISED)

        assert adapter.present() == adapter.present() == ()

        (record,) = caplog.records
        assert record.levelname == "WARNING"
        assert fingerprint_of(COMPROMISED) in record.getMessage()
        for secret in (COMPROMISED, "ana@", "Ana", data()["vaultId"], data()["id"]):
            assert secret not in caplog.text
        assert rows() == [(fingerprint_of(COMPROMISED), data()["id"], 1)]

    def test_other_refusals_are_counted_and_not_recorded(self) -> None:
        labels = {"source": "cookie", "result": "signature"}
        before = REGISTRY.get_sample_value("legacy_adapters_tokens_total", labels) or 0

        sightings.note_refused("cookie", LegacyTokenError("signature"))

        after = REGISTRY.get_sample_value("legacy_adapters_tokens_total", labels)
        assert after == before + 1
        assert rows() == []

    def test_a_record_that_cannot_be_written_harms_nobody(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(sightings, "_UPSERT", "SELECT 1/0")

        with transaction.atomic():
            refuse()
            assert RefusedToken.objects.count() == 0  # the transaction goes on

        assert "could not be recorded: DataError" in caplog.text

    def test_without_a_database_the_refusal_is_logged(
        self, settings: SettingsWrapper, caplog: pytest.LogCaptureFixture
    ) -> None:
        with transaction.atomic():
            connection.needs_rollback = True
            try:
                refuse()
            except DatabaseError:
                pytest.fail("the audit broke the request")
            finally:
                connection.needs_rollback = False

        assert "could not be recorded" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_sightings_at_the_same_moment_are_all_counted() -> None:
    def work() -> None:
        for _ in range(10):
            refuse()
        connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert rows() == [(fingerprint_of(COMPROMISED), "ws_1_a", 40)]


@pytest.mark.django_db(transaction=True)
def test_a_request_counts_a_forged_cookie_once(settings: SettingsWrapper) -> None:
    settings.LEGACY_ADAPTERS = {
        "cookie": {
            "ADAPTER": "legacy_adapters.cookie.CookieAdapter",
            "SECRETS": [SECRET],
            "COMPROMISED_SECRETS": [COMPROMISED],
        }
    }
    from django.test import Client
    from django.utils import timezone

    client = Client()
    client.cookies["upsell_session"] = token(shifted(timezone.now()), secret=COMPROMISED)

    client.get("/api/session/ws_mwo5wwds_2")
    client.get("/api/session/ws_mwo5wwds_2")  # the browser has deleted it

    assert [row[2] for row in rows()] == [1]
