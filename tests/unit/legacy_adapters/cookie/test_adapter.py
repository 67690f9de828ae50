"""The old cookie's adapter: the contract, what it writes, and what it says of its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.views.debug import SafeExceptionReporterFilter

from legacy_adapters.base import LegacyRecord
from legacy_adapters.checks import check_cookie_has_secret, check_cookie_secrets, check_sources
from legacy_adapters.cookie import CookieAdapter, store
from legacy_adapters.cookie.middleware import LegacyCookieMiddleware
from legacy_adapters.exceptions import (
    SourceUnavailableError,
    UnreadableRecordError,
    UnwritableRecordError,
)
from tests.contracts.session_data import NOW, SessionDataContract, stop_clock
from tests.legacy_tokens import COMPROMISED, SECRET, claims_of, data, shifted, token

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

    from legacy_adapters.base import LegacyAdapter

NAME = "upsell_session"


@pytest.fixture(autouse=True)
def frozen_clock(settings: SettingsWrapper) -> None:
    stop_clock(settings)


def request_with(text: str | None = None) -> HttpRequest:
    request = RequestFactory().get("/")
    if text is not None:
        request.COOKIES[NAME] = text
    return request


def adapter_of(request: HttpRequest | None, **options: Any) -> CookieAdapter:
    given = {"secrets": [SECRET], "compromised_secrets": [COMPROMISED]} | options
    return CookieAdapter(source="cookie", request=request, **given)


def answered(request: HttpRequest) -> HttpResponse:
    response = HttpResponse()
    LegacyCookieMiddleware(lambda _: response).process_response(request, response)
    return response


def next_request(request: HttpRequest) -> HttpRequest:
    """Return the browser's next request."""
    following = request_with()
    following.COOKIES |= request.COOKIES
    for name, morsel in answered(request).cookies.items():
        following.COOKIES[name] = morsel.value
        if morsel["max-age"] == 0:
            del following.COOKIES[name]
    return following


class TestCookieAdapter(SessionDataContract):
    holds_several = False

    @pytest.fixture
    def adapter(self) -> LegacyAdapter:
        return adapter_of(request_with())

    def put(self, adapter: LegacyAdapter, *records: dict[str, Any]) -> None:
        for record in records:
            claims = record | {
                "iat": record["createdAt"] // 1000,
                "exp": record["expiresAt"] // 1000,
            }
            adapter.request = request_with(token(claims))

    def afterwards(self, adapter: LegacyAdapter) -> LegacyAdapter:
        assert adapter.request is not None
        return adapter_of(next_request(adapter.request))


def test_what_is_signed_later_ends_later_and_says_the_same() -> None:
    given = shifted(NOW)
    soon, later = (token(given | {"exp": NOW.timestamp() + s}) for s in (1, 100))

    first, second = (adapter_of(request_with(text)).present()[0] for text in (soon, later))

    assert first.digest == second.digest
    assert first.data == given


@pytest.mark.parametrize("kept", ["exp", "expiresAt"])
def test_the_token_s_end_counts_before_that_of_its_data(kept: str) -> None:
    past, future = NOW.timestamp() * 1000 - 1, NOW.timestamp() * 1000 + 60_000
    ends = {"exp": future, "expiresAt": past} if kept == "exp" else {"expiresAt": future}
    adapter = adapter_of(request_with(token(shifted(NOW) | ends)))

    assert adapter.load(data()["id"]) is not None


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "nonsense",
        token(shifted(NOW), secret="another"),
        token(shifted(NOW) | {"expiresAt": None}),
        token(shifted(NOW), header={"alg": "none"}),
    ],
)
def test_a_refused_cookie_is_as_none(text: str | None) -> None:
    adapter = adapter_of(request_with(text))

    assert adapter.present() == ()
    assert adapter.peek(data()["id"]) is None
    assert adapter.load(data()["id"]) is None
    assert adapter.delete(data()["id"]) is False


def test_without_a_request_there_is_no_cookie() -> None:
    adapter = adapter_of(None)

    assert adapter.present() == ()
    assert adapter.delete("ws_1_a") is False
    with pytest.raises(UnwritableRecordError, match="no request"):
        adapter.save(LegacyRecord.of("ws_1_a", data()))


def test_json_that_is_nested_too_deeply_has_a_problem() -> None:
    request = request_with("text")
    deep: Any = []
    for _ in range(20_000):
        deep = [deep]
    store.jar_of(request).read["text"] = shifted(NOW, note=deep, exp=NOW.timestamp())

    (record,) = adapter_of(request).present()

    with pytest.raises(UnreadableRecordError, match="too deeply"):
        adapter_of(None).to_unified(record)


class TestWriting:
    @pytest.mark.parametrize("secure", [True, False])
    def test_the_cookie_goes_out_as_the_old_shop_s_did(self, *, secure: bool) -> None:
        request = request_with()

        adapter_of(request, secure=secure).save(LegacyRecord.of("ws_1_a", data(id="ws_1_a")))

        cookie = answered(request).cookies[NAME]
        assert claims_of(cookie.value) == data(id="ws_1_a") | {
            "iat": int(NOW.timestamp()),
            "exp": int(NOW.timestamp()) + 1800,
        }
        assert cookie["httponly"] is True
        assert bool(cookie["secure"]) is secure
        assert (cookie["samesite"], cookie["path"], cookie["domain"]) == ("Lax", "/", "")
        assert cookie["max-age"] == 1800

    def test_it_is_as_secure_as_our_own_unless_told_otherwise(
        self, settings: SettingsWrapper
    ) -> None:
        for secure in (True, False):
            ours = {"COOKIE_SECURE": secure}
            settings.SESSIONS_UNIFIED = settings.SESSIONS_UNIFIED | ours
            assert adapter_of(None).cookie.secure is secure

    def test_the_answer_is_for_no_cache(self) -> None:
        request = request_with()
        assert not answered(request).has_header("Cache-Control")

        adapter_of(request).save(LegacyRecord.of("ws_1_a", data(id="ws_1_a")))

        response = answered(request)
        assert response["Cache-Control"] == "private"
        assert response["Vary"] == "Cookie"

    def test_fields_that_are_not_named_stay(self) -> None:
        request = request_with(token(shifted(NOW, state="NY", note="kept")))
        adapter = adapter_of(request)

        adapter.save(LegacyRecord.of(data()["id"], {"vaultId": "7", "state": None}))

        written = claims_of(answered(request).cookies[NAME].value)
        assert {name: written.get(name) for name in ("vaultId", "state", "note", "email")} == {
            "vaultId": "7",
            "state": None,
            "note": "kept",
            "email": "ana@example.org",
        }

    def test_another_session_s_cookie_is_replaced_whole(self) -> None:
        request = request_with(token(shifted(NOW, note="theirs")))

        adapter_of(request).save(LegacyRecord.of("ws_1_a", {"email": "b@example.org"}))

        written = claims_of(answered(request).cookies[NAME].value)
        assert set(written) == {"id", "email", "iat", "exp"}
        assert written["id"] == "ws_1_a"

    def test_what_was_written_is_read_in_the_same_request(self) -> None:
        request = request_with(token(shifted(NOW)))
        adapter_of(request).save(LegacyRecord.of(data()["id"], {"vaultId": "7"}))

        record = adapter_of(request).peek(data()["id"])

        assert record is not None
        assert record.data["vaultId"] == "7"
        assert adapter_of(request).delete(data()["id"]) is True
        assert adapter_of(request).peek(data()["id"]) is None
        gone = answered(request).cookies[NAME]
        assert (gone.value, gone["max-age"], gone["httponly"]) == ("", 0, True)

    def test_r33_no_more_is_written_than_a_browser_keeps(self) -> None:
        largest = 0
        for length in range(2_500, 3_000, 7):
            request = request_with()
            record = LegacyRecord.of("ws_1_a", data(id="ws_1_a", note="n" * length))
            try:
                adapter_of(request, secure=True).save(record)
            except UnwritableRecordError:
                assert NAME not in answered(request).cookies
                continue
            header = answered(request).cookies[NAME].OutputString()
            largest = max(largest, len(header))
            assert adapter_of(next_request(request)).peek("ws_1_a") is not None
        assert 4_000 < largest <= 4_096

    def test_a_compromised_secret_never_signs(self) -> None:
        request = request_with()
        secrets = {"secrets": [COMPROMISED, SECRET]}
        adapter_of(request, **secrets).save(LegacyRecord.of("ws_1_a", data(id="ws_1_a")))

        assert adapter_of(next_request(request)).peek("ws_1_a") is not None
        with pytest.raises(SourceUnavailableError, match="LEGACY_COOKIE_SECRETS"):
            adapter_of(request_with(), secrets=[COMPROMISED]).save(
                LegacyRecord.of("ws_1_a", data(id="ws_1_a"))
            )

    @pytest.mark.parametrize("value", [float("nan"), object(), {1, 2}])
    def test_what_is_no_json_is_refused(self, value: Any) -> None:
        request = request_with()

        with pytest.raises(UnwritableRecordError, match="no JSON"):
            adapter_of(request).save(LegacyRecord.of("ws_1_a", data(note=value)))

        assert NAME not in answered(request).cookies

    def test_a_report_of_an_error_shows_no_token(self) -> None:
        request = request_with()
        adapter_of(request).save(LegacyRecord.of("ws_1_a", data(id="ws_1_a")))
        text = answered(request).cookies[NAME].value

        shown = str(SafeExceptionReporterFilter().get_safe_request_meta(request))

        assert text not in shown
        assert "ana@example.org" not in shown

    def test_a_record_without_an_id_is_refused(self) -> None:
        with pytest.raises(UnwritableRecordError, match="id is missing"):
            adapter_of(request_with()).save(LegacyRecord.of(None, {}))


class TestSettings:
    def entry(self, **options: Any) -> dict[str, Any]:
        return {"old": {"ADAPTER": "legacy_adapters.cookie.CookieAdapter"} | options}

    def ids(self, settings: SettingsWrapper, **options: Any) -> list[str | None]:
        settings.LEGACY_ADAPTERS = self.entry(**options)
        checks = (check_sources, check_cookie_secrets, check_cookie_has_secret)
        return [message.id for check in checks for message in check()]

    def test_good_secrets_pass(self, settings: SettingsWrapper) -> None:
        assert self.ids(settings, SECRETS=[SECRET], COMPROMISED_SECRETS=[COMPROMISED]) == []
        settings.LEGACY_ADAPTERS = {}
        assert check_cookie_secrets() == check_cookie_has_secret() == []

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({}, ["legacy_adapters.W001"]),
            ({"SECRETS": ["x" * 31]}, ["legacy_adapters.W002"]),
            ({"SECRETS": ["é" * 16]}, []),
            (
                {"SECRETS": [SECRET, COMPROMISED], "COMPROMISED_SECRETS": [COMPROMISED]},
                ["legacy_adapters.W003"],
            ),
            (
                {"SECRETS": ["short"], "COMPROMISED_SECRETS": ["short"]},
                ["legacy_adapters.W003", "legacy_adapters.W001"],
            ),
            ({"SECRETS": [""]}, ["legacy_adapters.E004"]),
            ({"SECRETS": [7]}, ["legacy_adapters.E004"]),
            ({"SECRET": [SECRET]}, ["legacy_adapters.E004"]),
        ],
    )
    def test_others_are_said(
        self, settings: SettingsWrapper, options: dict[str, Any], expected: list[str]
    ) -> None:
        assert self.ids(settings, **options) == expected

    def test_no_message_names_a_secret(self, settings: SettingsWrapper) -> None:
        settings.LEGACY_ADAPTERS = self.entry(SECRETS=["short-one"], COMPROMISED_SECRETS=[])

        (message,) = check_cookie_secrets()

        assert "short-one" not in f"{message.msg} {message.hint}"

    def test_health_says_what_to_do(self) -> None:
        assert adapter_of(None).health().is_healthy
        for secrets in ([], [COMPROMISED]):
            health = adapter_of(None, secrets=secrets).health()
            assert "LEGACY_COOKIE_SECRETS" in str(health.problem)
