"""The old cookie, request by request: what it earns, for whom, and what it never does."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from asgiref.sync import sync_to_async
from django.db import DatabaseError, connections
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, RequestFactory
from prometheus_client import REGISTRY

from legacy_adapters.base import AdapterHealth
from legacy_adapters.cookie import CookieAdapter
from legacy_adapters.cookie.middleware import LegacyCookieMiddleware
from legacy_adapters.exceptions import SourceUnavailableError
from legacy_adapters.memory_cache import MemoryCacheAdapter
from sessions_unified.cookies import session_id_from_cookie
from sessions_unified.manager import UnifiedSessionManager
from sessions_unified.models import UnifiedSession
from tests.legacy_tokens import COMPROMISED, SECRET, claims_of, shifted, token

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

OLD, OURS = "upsell_session", "funnel_session"
ID = "ws_mwo5wwds_2"
COOKIE = {
    "ADAPTER": "legacy_adapters.cookie.CookieAdapter",
    "SECRETS": [SECRET],
    "COMPROMISED_SECRETS": [COMPROMISED],
}
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_flush")]


@pytest.fixture(autouse=True)
def only_the_cookie(settings: SettingsWrapper) -> None:
    settings.LEGACY_ADAPTERS = {"cookie": COOKIE}


def now() -> datetime:
    return datetime.now(UTC)


def good(**fields: Any) -> str:
    return token(shifted(now(), **fields))


def browser(old: str | None = None) -> Client:
    client = Client()
    if old is not None:
        client.cookies[OLD] = old
    return client


def counted(result: str, source: str = "cookie") -> float:
    labels = {"source": source, "result": result}
    return REGISTRY.get_sample_value("legacy_adapters_tokens_total", labels) or 0


class TestEarning:
    def test_a_valid_old_cookie_opens_its_session_and_earns_our_token(self) -> None:
        client, before = browser(good()), counted("earned")

        answer = client.get(f"/api/session/{ID}")

        assert answer.status_code == 200, answer.content
        assert answer.json()["email"] == "ana@example.org"
        assert answer.json()["currentStep"] == "upsell-1"
        ours = answer.cookies[OURS]
        assert (ours["httponly"], ours["samesite"], ours["path"]) == (True, "Lax", "/")
        assert OLD not in answer.cookies
        assert "private" in answer["Cache-Control"]
        assert "Cookie" in answer["Vary"]
        assert b"618896069" not in answer.content  # the vault id
        assert counted("earned") == before + 1

    def test_the_token_then_works_alone_and_is_not_issued_again(self) -> None:
        client = browser(good())
        client.get(f"/api/session/{ID}")

        again = client.get(f"/api/session/{ID}")
        del client.cookies[OLD]
        alone = client.get(f"/api/session/{ID}")

        assert (again.status_code, alone.status_code) == (200, 200)
        assert OURS not in again.cookies
        assert OURS not in alone.cookies

    def test_a_session_that_is_here_already_is_opened_as_it_is(self) -> None:
        session = UnifiedSessionManager().create_session(email="Søren@exämple.org")

        answer = browser(good(id=session.id, email="søren@EXÄMPLE.org")).get(
            f"/api/session/{session.id}"
        )

        assert answer.status_code == 200
        assert answer.json()["version"] == 1
        assert OURS in answer.cookies

    def test_it_opens_no_other_session(self) -> None:
        other = UnifiedSessionManager().create_session(email="ana@example.org")

        answer = browser(good()).get(f"/api/session/{other.id}")

        assert answer.status_code == 404
        assert answer.json()["code"] == "session_not_found"

    def test_a_page_of_another_origin_may_not_use_it(self) -> None:
        client = browser(good())

        answer = client.patch(
            f"/api/session/{ID}",
            {"metadata": {"a": 1}},
            content_type="application/json",
            headers={"Origin": "https://evil.example"},
        )

        assert answer.status_code == 403
        assert answer.json()["code"] == "cross_origin"
        assert UnifiedSession.objects.get(pk=ID).version == 1

    def test_our_own_token_counts_before_it(self) -> None:
        mine = UnifiedSessionManager().create_session(email="b@example.org")
        client = browser(good(id=mine.id, email="b@example.org"))
        client.get(f"/api/session/{mine.id}")
        client.cookies[OLD] = good()

        answer = client.get(f"/api/session/{ID}")

        assert answer.status_code == 404
        assert not UnifiedSession.objects.filter(pk=ID).exists()

    def test_a_token_of_ours_that_opens_nothing_is_replaced(self) -> None:
        client = browser(good())
        client.cookies[OURS] = "nonsense"

        answer = client.get(f"/api/session/{ID}")

        assert answer.status_code == 200
        assert answer.cookies[OURS].value.count(".") == 4

    @pytest.mark.parametrize("header", ["Bearer nonsense", "Api-Key 01234567.nonsense"])
    def test_an_explicit_credential_counts_before_it(self, header: str) -> None:
        answer = browser(good()).get(f"/api/session/{ID}", headers={"Authorization": header})

        assert answer.status_code == 401
        assert OURS not in answer.cookies
        assert not UnifiedSession.objects.exists()

    def test_it_works_under_asgi_too(self) -> None:
        async def answered() -> Any:
            client = AsyncClient()
            client.cookies[OLD] = good()
            try:
                return await client.get(f"/api/session/{ID}")
            finally:
                await sync_to_async(connections.close_all)()  # the thread's own

        answer = asyncio.run(answered())

        assert answer.status_code == 200
        assert OURS in answer.cookies


class TestRefusing:
    @pytest.mark.parametrize(
        ("code", "make"),
        [
            ("expired", lambda: token(shifted(now() - timedelta(hours=1)))),
            ("signature", lambda: token(shifted(now()), secret="another")),
            ("signature", lambda: good()[:-8] + "AAAAAAA" + good()[-1]),
            ("header", lambda: token(shifted(now()), header={"alg": "none"})),
            ("endless", lambda: token({"id": ID, "email": "ana@example.org"})),
            ("claims", lambda: good(id="not one")),
            ("size", lambda: "x" * 5_000),
            ("format", lambda: "nonsense"),
        ],
    )
    def test_a_refused_cookie_is_as_none(self, code: str, make: Any) -> None:
        before = counted(code)

        answer = browser(make()).get(f"/api/session/{ID}")

        assert answer.status_code == 401
        assert answer.json()["code"] == "not_authenticated"
        assert not {OLD, OURS} & set(answer.cookies)
        assert not UnifiedSession.objects.exists()
        assert counted(code) == before + 1

    def test_one_signed_with_a_compromised_secret_is_deleted_too(self) -> None:
        answer = browser(token(shifted(now()), secret=COMPROMISED)).get(f"/api/session/{ID}")

        assert answer.status_code == 401
        assert OURS not in answer.cookies
        gone = answer.cookies[OLD]
        assert (gone.value, gone["max-age"], gone["path"]) == ("", 0, "/")
        assert (gone["httponly"], gone["samesite"]) == (True, "Lax")

    def test_another_person_s_email_is_refused(self) -> None:
        session = UnifiedSessionManager().create_session(email="bea@example.org")

        answer = browser(good(id=session.id)).get(f"/api/session/{session.id}")

        assert answer.status_code == 401
        assert OURS not in answer.cookies

    def test_a_session_without_an_email_takes_the_shop_s_word(self) -> None:
        session = UnifiedSessionManager().create_session()

        answer = browser(good(id=session.id)).get(f"/api/session/{session.id}")

        assert answer.status_code == 200

    def test_a_deleted_session_stays_dead(self) -> None:
        manager = UnifiedSessionManager()
        session = manager.create_session(email="ana@example.org")
        manager.delete_session(session.id)

        answer = browser(good(id=session.id)).get(f"/api/session/{session.id}")

        assert answer.status_code == 401
        assert OURS not in answer.cookies
        assert not UnifiedSession.objects.filter(pk=session.id, deleted_at=None).exists()

    def test_a_session_that_is_over_earns_nothing(self) -> None:
        session = UnifiedSessionManager().create_session(email="ana@example.org")
        UnifiedSession.objects.filter(pk=session.id).update(
            created_at=now() - timedelta(days=2), expires_at=now() - timedelta(days=1)
        )
        before = counted("over")

        answer = browser(good(id=session.id)).get(f"/api/session/{session.id}")

        assert answer.status_code == 401
        assert OURS not in answer.cookies
        assert counted("over") == before + 1

    def test_data_that_is_over_is_imported_and_earns_nothing(self) -> None:
        long_ago = shifted(now() - timedelta(days=3), transactionId=None)
        old = token(long_ago | {"exp": (now() + timedelta(minutes=5)).timestamp()})

        answer = browser(old).get(f"/api/session/{ID}")

        assert answer.status_code == 401
        assert OURS not in answer.cookies
        assert UnifiedSession.objects.get(pk=ID).status == "expired"


class AwayAdapter(MemoryCacheAdapter):
    """A store that does not answer."""

    error: ClassVar[Exception] = SourceUnavailableError()

    def peek(self, session_id: str) -> Any:
        raise self.error

    def health(self) -> AdapterHealth:
        return AdapterHealth(source=self.source, problem="away")


class FailingAdapter(AwayAdapter):
    error = DatabaseError("gone")


@pytest.mark.parametrize("adapter", ["AwayAdapter", "FailingAdapter"])
def test_while_a_store_does_not_answer_the_request_goes_on_without(
    settings: SettingsWrapper, adapter: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings.LEGACY_ADAPTERS = {"cookie": COOKIE, "away": {"ADAPTER": f"{__name__}.{adapter}"}}
    before = counted("unavailable")

    answer = browser(good()).get(f"/api/session/{ID}")
    page = browser(good()).get("/")

    assert (answer.status_code, answer.json()["code"]) == (503, "legacy_unavailable")
    assert answer["Retry-After"] == "2"
    assert page.status_code == 200
    assert not {OLD, OURS} & {*answer.cookies, *page.cookies}
    assert counted("unavailable") == before + 2
    assert "earned nothing for now" in caplog.text
    assert "ana@" not in caplog.text


class TestCost:
    def test_without_an_old_cookie_nothing_is_asked(self, django_assert_num_queries: Any) -> None:
        middleware = LegacyCookieMiddleware(lambda _: HttpResponse())
        for cookies in ({}, {"other": "1"}, {OURS: "nonsense"}):
            request = RequestFactory().get("/")
            request.COOKIES |= cookies
            with django_assert_num_queries(0):
                response = middleware(request)
            assert not response.cookies
            assert not response.has_header("Vary")

    def test_without_such_a_store_nothing_is_done(self, settings: SettingsWrapper) -> None:
        settings.LEGACY_ADAPTERS = {}

        answer = browser(good()).get(f"/api/session/{ID}")

        assert answer.status_code == 401
        assert not answer.cookies


class TestAnswers:
    """What the view did counts before what the middleware would."""

    def answered(self, view: Any, old: str | None) -> HttpResponse:
        request = RequestFactory().get("/")
        if old is not None:
            request.COOKIES[OLD] = old
        return LegacyCookieMiddleware(view)(request)

    def test_the_view_sees_the_shopper(self) -> None:
        seen = []

        def view(request: HttpRequest) -> HttpResponse:
            seen.append(session_id_from_cookie(request))
            return HttpResponse()

        self.answered(view, good())

        assert seen == [ID]

    def test_a_token_that_the_view_set_stays(self) -> None:
        def view(request: HttpRequest) -> HttpResponse:
            response = HttpResponse()
            response.set_cookie(OURS, "the view's")
            return response

        assert self.answered(view, good()).cookies[OURS].value == "the view's"

    def test_with_our_token_the_old_cookie_is_deleted(self) -> None:
        client = browser(good())
        client.get(f"/api/session/{ID}")
        UnifiedSession.objects.filter(pk=ID).update(holds=0)

        answer = client.delete(f"/api/session/{ID}")

        assert answer.status_code == 204, answer.content
        assert (answer.cookies[OURS].value, answer.cookies[OLD].value) == ("", "")
        assert answer.cookies[OLD]["max-age"] == 0

    def test_what_is_written_in_the_view_goes_out_and_not_with_a_deleted_session(self) -> None:
        def writing(request: HttpRequest, *, clears: bool) -> HttpResponse:
            adapter = CookieAdapter(source="cookie", request=request, secrets=[SECRET])
            session = UnifiedSessionManager().create_session(email="zoë@example.org")
            adapter.save(adapter.from_unified(session))
            response = HttpResponse()
            if clears:
                response.set_cookie(OURS, "", max_age=0)
            return response

        written = self.answered(lambda request: writing(request, clears=False), None)
        cleared = self.answered(lambda request: writing(request, clears=True), None)

        claims = claims_of(written.cookies[OLD].value)
        assert claims["email"] == "zoë@example.org"
        assert claims["exp"] - claims["iat"] == 1800
        assert abs(claims["expiresAt"] - claims["exp"] * 1000) <= 2000
        assert cleared.cookies[OLD].value == ""
