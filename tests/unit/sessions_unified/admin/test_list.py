"""The list of sessions: what it shows to whom, its filters and searches, and what they cost."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext

from sessions_unified import get_manager
from sessions_unified.admin import UnifiedSessionAdmin
from sessions_unified.admin.filters import alive_at
from sessions_unified.clock import get_clock
from sessions_unified.flow import STATUSES
from sessions_unified.models import UnifiedSession
from sessions_unified.tiers import get_tiers
from tests.managing import cleaner
from tests.unit.sessions_unified.admin.conftest import LIST, PII, SECRETS, hold, make

if TYPE_CHECKING:
    from django.test import Client

    from tests.unit.sessions_unified.admin.conftest import Staff


def html(client: Client, **query: str) -> str:
    answer = client.get(LIST, query)
    assert answer.status_code == 200, answer.content
    return answer.content.decode()


def change(session_id: str, **fields: Any) -> None:
    UnifiedSession.objects.filter(pk=session_id).update(**fields)


def found(client: Client, **query: str) -> set[str]:
    answer = client.get(LIST, query)
    return {each.pk for each in answer.context["cl"].result_list}


def test_a_row_says_what_a_person_looks_for(root: Client) -> None:
    session = make()

    shown = html(root)

    assert session.id in shown
    assert '<span class="su-badge su-pending">pending</span>' in shown
    assert "25.30 USD" in shown
    assert "canary-email@example.org" in shown
    assert f'title="{session.expires_at:%Y-%m-%d %H:%M:%S} UTC"' in shown
    assert "in 23 hours" in shown.replace("\xa0", " ")


def test_without_the_permission_emails_are_masked(staff: Staff) -> None:
    make()

    shown = html(staff("view_unifiedsession"))

    assert "c•••@example.org" in shown
    assert not [each for each in (*PII, *SECRETS) if each in shown]


def test_without_any_permission_there_is_no_list(staff: Staff) -> None:
    assert staff().get(LIST).status_code == 403


def test_more_rows_cost_no_more_queries(root: Client, django_assert_num_queries: Any) -> None:
    make()
    html(root)
    with CaptureQueriesContext(connection) as one:
        html(root)
    for _ in range(20):
        make()

    with django_assert_num_queries(len(one)):
        html(root)

    # The staff's login (session and user), the count and the rows.
    assert len(one) == 4


def test_the_list_reads_no_large_columns(root: Client) -> None:
    make()
    with CaptureQueriesContext(connection) as queries:
        html(root)

    assert '"vault_id"' not in str(queries.captured_queries)
    assert '"metadata"' not in str(queries.captured_queries)


def test_each_filter_finds_its_sessions(root: Client) -> None:
    now = get_clock().now()
    hour, minute = timedelta(hours=1), timedelta(minutes=1)
    names = ("fresh", "soon", "past", "expired", "held", "touched", "deleted", "receipt")
    ids = {name: make().id for name in names}
    change(ids["soon"], expires_at=now + 10 * minute)
    change(ids["past"], expires_at=now - minute)
    change(ids["expired"], status="expired", expires_at=now + hour)
    hold(ids["held"])
    change(ids["held"], expires_at=now - minute)
    change(
        ids["touched"],
        status="processing",
        current_step="upsell-1",
        expires_at=now - minute,
        last_seen_at=now - minute,
    )
    get_manager().delete_session(ids["deleted"])
    change(ids["receipt"], status="completed", current_step="success", expires_at=now - minute)

    def names_of(**query: str) -> set[str]:
        known = {session_id: name for name, session_id in ids.items()}
        return {known[each] for each in found(root, **query)}

    assert names_of() == set(names) - {"deleted"}
    assert names_of(expiry="alive") == {"fresh", "soon", "held", "touched"}
    assert names_of(expiry="soon") == {"soon", "touched"}
    assert names_of(expiry="past") == {"past", "expired", "receipt"}
    assert names_of(expiry="held") == {"held"}
    assert names_of(expiry="deleted") == {"deleted"}
    assert names_of(status__exact="completed") == {"receipt"}
    assert names_of(step="upsell-1") == {"touched"}


def test_past_is_what_the_sweeper_would_settle(root: Client) -> None:
    """The filter's rule and the sweeper's are written twice; here they meet."""
    now = get_clock().now()
    minutes = [timedelta(minutes=number) for number in (-90, -31, -29, -1, 1, 40)]
    for status in STATUSES:
        for step in ("checkout", "upsell-1"):
            for ends in minutes:
                for seen in (None, *minutes[:4]):
                    session = make()
                    change(
                        session.id,
                        status=status,
                        current_step=step,
                        expires_at=now + ends,
                        last_seen_at=seen and now + seen,
                    )
    active = UnifiedSession.objects.exclude(status__in=["completed", "expired"])
    past = set(active.exclude(alive_at(now)).values_list("pk", flat=True))

    cleaner(get_tiers()).settle()

    assert past == set(UnifiedSession.objects.filter(version=3).values_list("pk", flat=True))
    assert past


@pytest.mark.parametrize("term", ["id", "beginning", "transaction", "email"])
def test_a_search_finds_the_one(root: Client, term: str) -> None:
    session, _ = make(email="Ana.Canary@Example.org"), make()
    get_manager().update_session(session.id, {"transaction_id": "tx-1"})
    terms = {
        "id": session.id,
        "beginning": session.id[:-3],
        "transaction": "tx-1",
        "email": "ana.canary@example.ORG",
    }

    assert found(root, q=terms[term]) == {session.id}


@pytest.mark.parametrize("term", ["canary", "nary-email@example.org", "x-1", "_", "%"])
def test_parts_of_values_find_nothing(root: Client, term: str) -> None:
    session = make()
    get_manager().update_session(session.id, {"transaction_id": "tx-1"})

    assert found(root, q=term) == set()


def test_a_tombstone_is_found_by_its_whole_id(root: Client) -> None:
    session = make()
    get_manager().delete_session(session.id)

    assert found(root) == set()
    assert found(root, q=session.id) == {session.id}


def test_an_email_cannot_be_guessed_by_searching(staff: Staff) -> None:
    session = make()
    client = staff("view_unifiedsession")

    shown = html(client, q="canary-email@example.org")

    assert session.id not in shown
    assert "needs the permission to see personal data" in shown


@pytest.mark.parametrize(
    "lookup",
    [
        "email__startswith",
        "email",
        "customer__firstName",
        "metadata__note__startswith",
        "vault_id__startswith",
        "payment_token",
        "status__regex",
    ],
)
def test_a_hidden_field_cannot_be_probed_by_the_query_string(staff: Staff, lookup: str) -> None:
    make()

    answer = staff("view_unifiedsession", "view_pii").get(LIST, {lookup: "c"})

    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("term", "indexes"),
    [
        ("ws_abc", ["unifiedsession_id", "su_session_transaction"]),
        ("ana@example.org", ["su_session_email"]),
        ("tx-1", ["unifiedsession_id", "su_session_transaction"]),
    ],
)
def test_searches_go_by_an_index(db: None, term: str, indexes: list[str]) -> None:
    from django.contrib import admin

    request = RequestFactory().get("/")
    request.user = User.objects.create_superuser("root")
    model_admin = UnifiedSessionAdmin(UnifiedSession, admin.site)
    query, _ = model_admin.get_search_results(request, UnifiedSession.objects.all(), term)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")

    plan = query.order_by().explain()

    assert "Seq Scan" not in plan
    assert all(index in plan for index in indexes), plan


def test_a_count_stops_at_the_cap(root: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sessions_unified.admin.base.CappedPaginator.CAP", 2)
    for _ in range(3):
        make()

    assert "more than 2\nsessions" in html(root)


@pytest.mark.parametrize("query", ["status__exact", "step", "q", "other"])
def test_a_nul_in_a_filter_finds_nothing_and_breaks_nothing(root: Client, query: str) -> None:
    answer = root.get(LIST, {query: "\0"})

    assert answer.status_code == 302
    assert root.get(answer["Location"]).status_code in {200, 302}


@pytest.mark.parametrize("what", ["change", "history", "delete"])
@pytest.mark.parametrize("rows", ["unifiedsession", "sessionlink"])
def test_a_nul_in_an_address_names_no_row(root: Client, rows: str, what: str) -> None:
    answer = root.get(f"/admin/sessions_unified/{rows}/ws_5F1_5Fa%00/{what}/")

    assert answer.status_code in {302, 403, 404}
