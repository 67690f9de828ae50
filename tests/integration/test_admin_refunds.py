"""Staff see a session's money and give it back: permissions, one click once, honest messages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from funnel.payments.gateway import Outcome, Receipt
from funnel.payments.models import ChargeAttempt
from funnel.payments.refunds.models import Refund
from funnel.payments.refunds.refunding import new_key
from sessions_unified.clock import get_clock
from sessions_unified.models import UnifiedSession
from tests.charges import answer, paid, start
from tests.charges import pay as pay_with
from tests.gateways import ReversingGateway, taking
from tests.refunds import audit_refunds, order_of, refund

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpResponse
    from pytest_django.fixtures import SettingsWrapper

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_flush")]

SEES = ("view_unifiedsession", "view_chargeattempt", "view_refund", "view_moneyentry")


@pytest.fixture(autouse=True)
def gateway(settings: SettingsWrapper) -> Iterator[type[ReversingGateway]]:
    yield from taking(ReversingGateway, settings)


def signed_in(*codenames: str) -> Client:
    user = User.objects.create_user(f"staff-{User.objects.count()}", is_staff=True)
    for name in codenames:
        user.user_permissions.add(Permission.objects.get(codename=name))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def clerk() -> Client:
    """Return somebody who may look and give back."""
    return signed_in(*SEES, "refund_charge")


def page(client: Client, session_id: str) -> str:
    url = f"/admin/sessions_unified/unifiedsession/{session_id.replace('_', '_5F')}/change/"
    answered = client.get(url)
    assert answered.status_code == 200
    return answered.content.decode()


def url_of(attempt: ChargeAttempt, query: str = "") -> str:
    return f"/admin/funnel/refund/of/{attempt.pk}/{query}"


def form_of(client: Client, url: str) -> dict[str, str]:
    """Return what the page's form would send."""
    content = client.get(url).content.decode()
    found = re.findall(r'<input type="(?:hidden|number)" name="(\w+)" value="([^"]*)"', content)
    chosen = re.findall(r'name="(how)" value="(\w+)"[^>]*checked', content)
    return {name: value for name, value in (*found, *chosen) if name != "csrfmiddlewaretoken"}


def post(client: Client, url: str, **given: str) -> Any:
    return client.post(url, {"reason": "Broken pot", **given}, follow=True)


def said(answered: HttpResponse) -> str:
    return re.sub(r"\s+", " ", answered.content.decode())


# The panel


def test_the_panel_shows_the_statement(clerk: Client) -> None:
    session_id = paid()
    answer(session_id, "upsell-1-serum")
    refund(order_of(session_id))

    shown = re.sub(r"<[^>]+>|\s+", " ", page(clerk, session_id))
    shown = re.sub(r" +", " ", shown)

    assert "Living Soil 5L SOIL 25.00 USD 25.00 USD – –" in shown  # noqa: RUF001
    assert "Root Serum upsell-1-serum 29.99 USD – – 29.99 USD" in shown  # noqa: RUF001
    assert "Total 54.99 USD 25.00 USD – 29.99 USD" in shown  # noqa: RUF001
    assert "Broken pot" in shown
    assert "Refund 29.99 USD" in shown
    assert "Refund 25.00 USD" not in shown


def test_the_panel_says_what_is_not_certain(clerk: Client) -> None:
    session_id = start()
    pay_with(session_id, "tok_timeout_charged")

    shown = page(clerk, session_id)

    assert "May have been charged: checkout, 25.00 USD" in shown
    assert "/admin/funnel/refund/of/" not in shown


def test_the_panel_says_when_the_books_do_not_add_up(clerk: Client) -> None:
    session_id = paid()
    ChargeAttempt.objects.update(amount=26)

    assert "The books do not add up" in page(clerk, session_id)


def test_who_may_not_give_back_sees_no_button() -> None:
    session_id = paid()

    shown = page(signed_in(*SEES), session_id)

    assert "Statement" in shown
    assert "/admin/funnel/refund/of/" not in shown


def test_who_may_not_see_charges_sees_no_money() -> None:
    session_id = paid()

    assert "Charges and refunds" not in page(signed_in("view_unifiedsession"), session_id)


def test_every_line_of_an_order_has_its_own_button(clerk: Client) -> None:
    session_id = two_lines()

    shown = page(clerk, session_id)

    for line in (0, 1):
        assert f'{url_of(order_of(session_id))}?line={line}"' in shown


def two_lines() -> str:
    session_id = paid()
    attempt = order_of(session_id)
    first = attempt.lines[0]
    attempt.lines = [first | {"amount": "15.00"}, first | {"item": "POT", "amount": "10.00"}]
    attempt.save()
    return session_id


# Giving back


@pytest.mark.parametrize("codenames", [(), SEES, ("resolve_charge",)])
def test_giving_back_needs_its_own_permission(codenames: tuple[str, ...]) -> None:
    attempt = order_of(paid())
    client = signed_in(*codenames)

    assert client.get(url_of(attempt)).status_code == 403
    assert client.post(url_of(attempt), {"key": new_key(), "reason": "x"}).status_code == 403
    assert not Refund.objects.exists()


def test_the_question_says_what_goes_back_and_sends_nothing(clerk: Client) -> None:
    attempt = order_of(paid())

    shown = said(clerk.get(url_of(attempt)))

    assert "25.00 USD goes back" in shown
    assert f'the card that paid transaction <span class="su-id">{attempt.transaction_id}' in shown
    assert "succeeded</span>" in shown
    assert "Give back 25.00 USD" in shown
    assert not Refund.objects.exists()


def test_a_whole_charge_is_given_back(clerk: Client) -> None:
    session_id = paid()
    url = url_of(order_of(session_id))

    answered = post(clerk, url, **form_of(clerk, url))

    assert "Given back: 25.00 USD." in said(answered)
    assert answered.redirect_chain[0][0].endswith("/change/")
    done = Refund.objects.get()
    assert (done.state, done.kind, done.requested_reason) == ("succeeded", "refund", "Broken pot")
    assert done.requested_by == f"staff:{clerk.session['_auth_user_id']}"
    assert order_of(session_id).state == "refunded"
    audit_refunds(session_id)


def test_a_line_is_given_back_with_an_amount(clerk: Client) -> None:
    session_id = two_lines()
    url = url_of(order_of(session_id), "?line=1")
    form = form_of(clerk, url)
    assert form["amount"] == "10.00"

    post(clerk, url, **form | {"amount": "4.50"})

    done = Refund.objects.get()
    assert [(each["line"], each["amount"]) for each in done.lines] == [(1, "4.50")]


@pytest.mark.parametrize("amount", ["10.01", "0", "-1", "1.001", "NaN", "ten", ""])
def test_a_wrong_amount_is_refused(clerk: Client, amount: str) -> None:
    url = url_of(order_of(two_lines()), "?line=1")

    answered = post(clerk, url, **form_of(clerk, url) | {"amount": amount})

    assert "errorlist" in said(answered)
    assert not Refund.objects.exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"reason": ""}, "This field is required"),
        ({"reason": "card 4111 1111 1111 1111"}, "looks like a card number"),
        ({"key": "forged"}, "The key of this form is broken"),
        ({"how": "gift"}, "Select a valid choice"),
    ],
)
def test_a_form_that_lacks_something_gives_nothing_back(
    clerk: Client, given: dict[str, str], message: str
) -> None:
    url = url_of(order_of(paid()))

    answered = post(clerk, url, **form_of(clerk, url) | given)

    assert message in said(answered)
    assert not Refund.objects.exists()


def test_a_form_sent_twice_gives_back_once(clerk: Client, gateway: type[ReversingGateway]) -> None:
    session_id = two_lines()
    url = url_of(order_of(session_id), "?line=1")
    form = form_of(clerk, url)

    for _ in range(2):
        answered = post(clerk, url, **form)

    assert len(gateway.reversals) == 1
    assert "This form was sent before" in said(answered)
    audit_refunds(session_id)


def test_a_part_sent_twice_gives_back_once(clerk: Client, gateway: type[ReversingGateway]) -> None:
    session_id = two_lines()
    url = url_of(order_of(session_id), "?line=1")
    form = form_of(clerk, url) | {"amount": "1.00"}

    answers = [said(post(clerk, url, **form)) for _ in range(2)]

    assert len(gateway.reversals) == 1
    assert all("Given back: 1.00 USD." in each for each in answers)


@pytest.mark.parametrize("key", ["\0", "x" * 500, "\U0001f600", "4111111111111111", " "])
def test_a_form_with_a_broken_key_gives_nothing_back(clerk: Client, key: str) -> None:
    url = url_of(order_of(paid()))

    answered = post(clerk, url, **form_of(clerk, url) | {"key": key})

    assert answered.status_code == 200
    assert not Refund.objects.exists()


def test_a_void_is_offered_for_a_whole_charge_of_today(clerk: Client) -> None:
    session_id = two_lines()
    whole, line = url_of(order_of(session_id)), url_of(order_of(session_id), "?line=0")

    assert form_of(clerk, whole)["how"] == "refund"
    assert "how" not in form_of(clerk, line)
    post(clerk, whole, **form_of(clerk, whole) | {"how": "void"})

    assert order_of(session_id).state == "voided"


def test_a_void_is_not_offered_the_day_after(clerk: Client) -> None:
    session_id = paid()
    ChargeAttempt.objects.update(settled_at="2026-01-01T00:00:00Z")

    assert "how" not in form_of(clerk, url_of(order_of(session_id)))


@pytest.mark.parametrize(
    ("receipt", "message"),
    [
        (Receipt(outcome=Outcome.REJECTED, reason="Too old"), "The gateway says: Too old."),
        (Receipt(outcome=Outcome.UNKNOWN), "answer is not known yet"),
        (Receipt(outcome=Outcome.SUCCEEDED, currency="EUR"), "A person has to decide"),
    ],
)
def test_what_came_of_it_is_said_as_it_is(
    clerk: Client, gateway: type[ReversingGateway], receipt: Receipt, message: str
) -> None:
    gateway.answer = lambda _: receipt
    url = url_of(order_of(paid()))

    answered = post(clerk, url, **form_of(clerk, url))

    assert message in said(answered)
    assert "Given back" not in said(answered)


def test_what_cannot_be_given_back_any_more_says_so(clerk: Client) -> None:
    session_id = paid()
    url = url_of(order_of(session_id))
    form = form_of(clerk, url)
    refund(order_of(session_id))

    answered = post(clerk, url, **form)

    assert "refunded cannot be given back" in said(answered)


def test_a_purged_sessions_charge_is_given_back_from_the_list(clerk: Client) -> None:
    session_id = paid()
    UnifiedSession.objects.all().delete()
    url = url_of(order_of(session_id))

    answered = post(clerk, url, **form_of(clerk, url))

    assert "/funnel/chargeattempt/" in answered.redirect_chain[0][0]
    assert order_of(session_id).state == "refunded"


def test_there_is_no_such_charge_or_line(clerk: Client) -> None:
    attempt = order_of(paid())

    for url in ("/admin/funnel/refund/of/999999/", url_of(attempt, "?line=9")):
        assert clerk.get(url).status_code == 404


# Lists and decisions


def test_the_lists_are_read_only(clerk: Client) -> None:
    session_id = paid()
    done = refund(order_of(session_id))
    root = Client()
    root.force_login(User.objects.create_superuser("root"))

    for name, row in (("refund", done), ("moneyentry", done.money_entries.get())):
        base = f"/admin/funnel/{name}"
        for query in ("", f"?q={session_id}", f"?q={done.gateway_order_id}"):
            assert clerk.get(f"{base}/{query}").status_code == 200
        assert clerk.get(f"{base}/{row.pk}/change/").status_code == 200
        assert root.get(f"{base}/add/").status_code == 403
        assert root.post(f"{base}/{row.pk}/change/", {"amount": "1"}).status_code == 403
        assert root.post(f"{base}/{row.pk}/delete/", {"post": "yes"}).status_code == 403
    assert session_id in said(clerk.get(f"/admin/funnel/refund/?q={session_id}"))


def in_review(gateway: type[ReversingGateway]) -> Refund:
    gateway.answer = lambda _: Receipt(outcome=Outcome.SUCCEEDED, currency="EUR")
    return refund(order_of(paid()))


def test_a_person_decides_on_a_refund(gateway: type[ReversingGateway]) -> None:
    found = in_review(gateway)
    client = signed_in(*SEES, "resolve_charge")
    change, url = (f"/admin/funnel/refund/{found.pk}/{name}/" for name in ("change", "resolve"))
    given = {"what": "executed", "transaction_id": "r77", "reason": "In the console"}

    assert url in said(client.get(change))
    assert "What is known" in said(client.get(url))
    answered = client.post(url, given, follow=True)

    assert "Decided: the refund has succeeded." in said(answered)
    found.refresh_from_db()
    assert (found.state, found.transaction_id) == ("succeeded", "r77")
    assert found.resolved_by.startswith("staff:")


def test_not_executed_waits_for_an_hour(gateway: type[ReversingGateway]) -> None:
    found = in_review(gateway)
    client = signed_in(*SEES, "resolve_charge")
    url = f"/admin/funnel/refund/{found.pk}/resolve/"
    given = {"what": "not_executed", "reason": "Not there"}

    assert "too early" in said(client.post(url, given))
    Refund.objects.update(review_since="2026-01-01T00:00:00Z")
    answered = client.post(url, given, follow=True)

    assert "Decided: it was not given back." in said(answered)
    found.refresh_from_db()
    assert found.state == "refused"
    assert found.settled_at is not None
    assert found.settled_at <= get_clock().now()


def test_deciding_needs_its_own_permission(gateway: type[ReversingGateway], clerk: Client) -> None:
    found = in_review(gateway)
    url = f"/admin/funnel/refund/{found.pk}/resolve/"

    assert clerk.get(url).status_code == 403
    assert clerk.post(url, {"what": "executed"}).status_code == 403
    assert url not in said(clerk.get(f"/admin/funnel/refund/{found.pk}/change/"))
