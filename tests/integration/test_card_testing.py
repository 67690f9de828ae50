"""After too many declines no more charges: exactly so many, exactly so long, whoever hurries."""

from __future__ import annotations

import itertools
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext

from funnel.checkout import process_checkout
from funnel.exceptions import TooManyDeclinesError
from funnel.payments.card_testing import counting, guarding, stops
from funnel.payments.card_testing.counting import Scope, tallies
from funnel.payments.card_testing.metrics import CHARGES_REFUSED
from funnel.payments.card_testing.models import CardTestingStop
from funnel.payments.card_testing.subjects import Subjects, subjects_of
from funnel.payments.gateway import Outcome, Receipt
from funnel.payments.models import ChargeAttempt, IdempotencyRecord
from funnel.payments.payer import NOBODY, Payer
from funnel.payments.settling import settle
from funnel.payments.verdicts import Source
from funnel.tasks import forget_idempotency_keys
from funnel.upsell import process_upsell
from sessions_unified import get_manager
from sessions_unified.clock import get_clock
from sessions_unified.models import SessionEvent
from tests.charges import attempts, audit, charges, paid, position, start

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from pytest_django.fixtures import SettingsWrapper

    from funnel.payments.idempotency import Reply
    from sessions_unified.testing import FrozenClock
    from tests.gateways import ScriptedGateway

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gateway")]

State = ChargeAttempt.State
HERE = Payer(address="192.0.2.1")
CARD = Payer(fingerprint="card-1")
_keys = itertools.count(1)


@pytest.fixture
def limits(settings: SettingsWrapper, gateway: type[ScriptedGateway]) -> Callable[..., None]:
    """Return a function that sets the limits."""

    def setup(**changes: float) -> None:
        values = {f"DECLINES_PER_{name.upper()}": value for name, value in changes.items()}
        settings.FUNNEL = settings.FUNNEL | values

    return setup


@pytest.fixture
def still(settings: SettingsWrapper) -> FrozenClock:
    """Let the time stand still; return its clock."""
    clock = "sessions_unified.testing.FrozenClock"
    settings.SESSIONS_UNIFIED = settings.SESSIONS_UNIFIED | {"CLOCK": clock}
    frozen: Any = get_clock()
    return frozen  # type: ignore[no-any-return]


def pay(
    session_id: str, card: str = "tok_decline", payer: Payer = NOBODY, *, key: str | None = None
) -> Reply:
    key = key or f"ct-{next(_keys)}"
    return process_checkout(get_manager(), session_id, key=key, payment_token=card, payer=payer)


def take(session_id: str, offer: str, payer: Payer = NOBODY) -> Reply:
    key = f"ct-{next(_keys)}"
    return process_upsell(
        get_manager(), session_id, key=key, offer_id=offer, decision="accept", payer=payer
    )


def refused(session_id: str, payer: Payer = NOBODY, card: str = "tok_approve") -> int:
    """Try to pay; return after how many seconds to come again."""
    with pytest.raises(TooManyDeclinesError) as raised:
        pay(session_id, card, payer)
    return raised.value.retry_after


def decline(times: int, payer: Payer, *, session_id: str | None = None) -> None:
    """Have so many charges declined, each in a session of its own unless one is given."""
    for _ in range(times):
        assert pay(session_id or start(), payer=payer).status == 402


def stop_of(scope: str) -> CardTestingStop:
    return CardTestingStop.objects.get(scope=scope)


# The limits


def test_the_eleventh_charge_of_a_session_with_ten_declines_is_refused() -> None:
    session_id = start()
    decline(10, NOBODY, session_id=session_id)

    refused(session_id)

    assert len(attempts(session_id)) == 10
    assert position(session_id) == "pending/checkout"
    audit(session_id)


@pytest.mark.parametrize(("scope", "payer"), [("address", HERE), ("card", CARD)])
def test_an_address_and_a_card_are_counted_over_all_sessions(
    limits: Callable[..., None], scope: str, payer: Payer
) -> None:
    limits(**{scope: 3})
    decline(2, payer)
    assert pay(start(), "tok_approve", payer).status == 200
    decline(1, payer)

    refused(start(), payer)

    other = Payer(address="192.0.2.2", fingerprint="card-2")
    assert pay(start(), "tok_approve", other).status == 200
    assert stop_of(scope).declines == 3


@pytest.mark.parametrize(("scope", "payer"), [("address", HERE), ("card", CARD)])
def test_a_limit_of_zero_never_stops(limits: Callable[..., None], scope: str, payer: Payer) -> None:
    limits(**{scope: 0})
    decline(12, payer)

    assert pay(start(), "tok_approve", payer).status == 200


def test_nothing_is_counted_of_nobody(limits: Callable[..., None]) -> None:
    limits(address=1, card=1)
    decline(2, NOBODY)

    assert pay(start(), "tok_approve").status == 200


def test_successes_do_not_count_so_an_office_behind_one_address_may_buy(
    limits: Callable[..., None],
) -> None:
    limits(address=3)

    answers = [pay(start(), "tok_approve", HERE).status for _ in range(8)]

    assert set(answers) == {200}


def test_extras_count_for_their_session(limits: Callable[..., None]) -> None:
    limits(session=2)
    session_id = paid("tok_approve_upsell_decline")
    for _ in range(2):
        assert take(session_id, "upsell-1-serum").status == 402

    with pytest.raises(TooManyDeclinesError):
        take(session_id, "upsell-1-serum")

    assert position(session_id) == "processing/upsell-1"
    audit(session_id)


def test_an_extra_is_refused_for_its_address_too(limits: Callable[..., None]) -> None:
    limits(address=1)
    session_id = paid()
    decline(1, HERE)

    with pytest.raises(TooManyDeclinesError):
        take(session_id, "upsell-1-serum", HERE)

    assert stop_of("address").refusals == 1
    assert take(session_id, "upsell-1-serum").status == 200


# What counts


def settled(outcome: Outcome, response: dict[str, str], source: Source | None = None) -> None:
    """Have a charge from `HERE` with no answer settled so."""
    session_id = start()
    assert pay(session_id, "tok_timeout_uncharged", HERE).status == 202
    receipt = Receipt(outcome=outcome, response=response)
    attempt = attempts(session_id)[0]
    if source is not None:
        attempt.state = State.NEEDS_REVIEW
        attempt.review_since = get_clock().now()
        attempt.save()
    settle(get_manager(), attempt.pk, receipt, *([source] if source else []))


@pytest.mark.parametrize("code", ["220", "224", "300"])
def test_a_card_that_the_gateway_finds_wrong_counts(limits: Callable[..., None], code: str) -> None:
    limits(address=1)
    settled(Outcome.REJECTED, {"response_code": code})

    refused(start(), HERE)


@pytest.mark.parametrize("code", [*sorted(counting.NOT_THE_PAYERS), None])
def test_what_is_not_the_payers_doing_does_not_count(
    limits: Callable[..., None], code: str | None
) -> None:
    limits(address=1)
    settled(Outcome.REJECTED, {"response_code": code} if code else {})

    assert pay(start(), "tok_approve", HERE).status == 200


def test_what_staff_decided_was_not_executed_is_no_decline(limits: Callable[..., None]) -> None:
    limits(address=1)
    settled(Outcome.DECLINED, {"code": "200"}, Source(decided_by="ana", reason="not executed"))

    assert pay(start(), "tok_approve", HERE).status == 200


def test_a_charge_with_no_answer_counts_until_it_has_one(limits: Callable[..., None]) -> None:
    limits(address=1)
    session_id = start()
    pay(session_id, "tok_timeout_uncharged", HERE)

    refused(start(), HERE)

    receipt = Receipt(outcome=Outcome.VOIDED, transaction_id="t1")
    settle(get_manager(), attempts(session_id)[0].pk, receipt)
    assert pay(start(), "tok_approve", HERE).status == 200


def test_a_charge_that_nobody_settles_does_not_count_for_ever(
    limits: Callable[..., None], still: FrozenClock
) -> None:
    limits(address=1)
    pay(start(), "tok_timeout_uncharged", HERE)
    still.advance(seconds=3599)
    refused(start(), HERE)

    still.advance(seconds=1)

    assert pay(start(), "tok_approve", HERE).status == 200


def test_letting_through_again_is_for_charges_under_way_too(
    limits: Callable[..., None], still: FrozenClock
) -> None:
    limits(address=1)
    pay(start(), "tok_timeout_uncharged", HERE)
    refused(start(), HERE)
    still.advance(seconds=1)

    stops.clear(stop_of("address"), by="ana", now=still.now())

    assert pay(start(), "tok_approve", HERE).status == 200


# How long


def test_it_is_over_when_enough_declines_have_left_the_window(
    limits: Callable[..., None], still: FrozenClock
) -> None:
    limits(address=3)
    for _ in range(3):
        decline(1, HERE)
        still.advance(minutes=10)

    assert refused(start(), HERE) == 30 * 60
    still.advance(seconds=30 * 60 - 1.5)
    assert refused(start(), HERE) == 2
    still.advance(seconds=1.5)
    decline(1, HERE)
    assert refused(start(), HERE) == 10 * 60


def test_the_longest_of_two_reasons_says_when(
    limits: Callable[..., None], still: FrozenClock
) -> None:
    limits(address=1, card=1)
    decline(1, HERE)
    still.advance(seconds=100)
    decline(1, CARD)

    both = replace(HERE, fingerprint=CARD.fingerprint)

    assert refused(start(), both) == 3600
    assert {stop.scope for stop in CardTestingStop.objects.all()} == {"address", "card"}


def test_with_a_charge_under_way_it_is_over_when_that_is_asked_for(
    limits: Callable[..., None], still: FrozenClock
) -> None:
    limits(address=2)
    decline(1, HERE)
    session_id = start()
    pay(session_id, "tok_timeout_uncharged", HERE)
    asked = attempts(session_id)[0].next_check_at
    assert asked is not None

    assert refused(start(), HERE) == round((asked - still.now()).total_seconds())


def test_a_limit_that_was_lowered_waits_for_more_than_one_to_leave(
    limits: Callable[..., None], still: FrozenClock
) -> None:
    for _ in range(3):
        decline(1, HERE)
        still.advance(seconds=60)
    limits(address=2)

    assert refused(start(), HERE) == 3600 - 2 * 60


# What a refusal leaves behind


def test_nothing_is_written_and_the_same_key_may_be_tried_later(
    limits: Callable[..., None], still: FrozenClock, gateway: type[ScriptedGateway]
) -> None:
    limits(address=1)
    decline(1, HERE)
    session_id = start()
    events = SessionEvent.objects.count()
    calls = len(gateway.calls)

    with pytest.raises(TooManyDeclinesError):
        pay(session_id, "tok_approve", HERE, key="later")

    assert (attempts(session_id), charges(session_id)) == ([], [])
    assert not IdempotencyRecord.objects.filter(session_id=session_id).exists()
    assert (SessionEvent.objects.count(), len(gateway.calls)) == (events, calls)
    still.advance(seconds=3600)
    assert pay(session_id, "tok_approve", HERE, key="later").status == 200
    audit(session_id)


def test_an_answer_that_is_known_is_given_again(limits: Callable[..., None]) -> None:
    limits(address=1)
    session_id = start()
    first = pay(session_id, "tok_decline", HERE, key="known")
    refused(session_id, HERE)

    again = pay(session_id, "tok_decline", HERE, key="known")

    assert (again.status, again.body) == (402, first.body)


def test_what_is_paid_stays_paid(limits: Callable[..., None]) -> None:
    limits(address=1)
    session_id = paid()
    decline(1, HERE)

    assert pay(session_id, "tok_approve", HERE).status == 200
    assert len(charges(session_id)) == 1


def test_declining_an_offer_is_never_refused(limits: Callable[..., None]) -> None:
    limits(address=1)
    session_id = paid()
    decline(1, HERE)

    reply = process_upsell(
        get_manager(),
        session_id,
        key="no",
        offer_id="upsell-1-serum",
        decision="decline",
        payer=HERE,
    )

    assert reply.status == 200


def test_refusals_are_counted_and_noted_once_a_subject(
    limits: Callable[..., None], still: FrozenClock
) -> None:
    limits(address=2)
    before = CHARGES_REFUSED.labels("address")._value.get()
    decline(2, HERE)
    first = still.now()

    for _ in range(3):
        still.advance(seconds=10)
        refused(start(), HERE)

    stop = stop_of("address")
    assert stop.subject == subjects_of("", HERE).address
    assert (stop.declines, stop.refusals) == (2, 3)
    assert stop.first_at == first + timedelta(seconds=10)
    assert stop.last_at == first + timedelta(seconds=30)
    assert stop.until == first + timedelta(hours=1)
    assert CHARGES_REFUSED.labels("address")._value.get() == before + 3


def test_a_refusal_stands_even_if_it_cannot_be_noted(
    limits: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    limits(address=1)
    decline(1, HERE)

    def fail(*_: Any) -> None:
        raise OperationalError

    monkeypatch.setattr(stops, "note", fail)

    refused(start(), HERE)


def test_no_address_and_no_fingerprint_is_stored(limits: Callable[..., None]) -> None:
    limits(address=1)
    payer = Payer(address="192.0.2.77", fingerprint="fp-plain")
    session_id = start()
    pay(session_id, payer=payer)
    refused(session_id, payer)

    attempt = attempts(session_id)[0]
    assert (len(attempt.address), len(attempt.card)) == (64, 64)
    with connection.cursor() as cursor:
        for table in ("funnel_chargeattempt", "funnel_cardtestingstop", "funnel_idempotencyrecord"):
            cursor.execute(f"SELECT string_agg(t::text, ' ') FROM {table} AS t")
            (text,) = cursor.fetchone()
            assert "192.0.2.77" not in text
            assert "fp-plain" not in text


# Let through again


def test_declines_before_a_member_of_staff_let_it_through_do_not_count(
    limits: Callable[..., None], still: FrozenClock
) -> None:
    limits(address=2)
    decline(2, HERE)
    refused(start(), HERE)
    still.advance(seconds=1)

    assert stops.clear(stop_of("address"), by="ana", now=still.now())

    still.advance(seconds=1)
    decline(2, HERE)
    still.advance(seconds=1)
    assert refused(start(), HERE) == 3600 - 1
    stop = stop_of("address")
    assert (stop.cleared_by, stop.declines, stop.refusals) == ("ana", 2, 2)
    assert stops.holds(stop, still.now())


def test_what_is_not_stopped_is_not_let_through_again(
    limits: Callable[..., None], still: FrozenClock
) -> None:
    limits(address=1)
    decline(1, HERE)
    refused(start(), HERE)
    still.advance(seconds=1)

    assert stops.clear(stop_of("address"), by="ana", now=still.now())
    assert not stops.clear(stop_of("address"), by="ben", now=still.now())

    assert stop_of("address").cleared_by == "ana"


def test_the_condition_and_the_property_agree(
    limits: Callable[..., None], still: FrozenClock
) -> None:
    limits(address=1)
    decline(1, HERE)
    refused(start(), HERE)

    def agreed() -> bool:
        now = still.now()
        found = CardTestingStop.objects.filter(stops.holding(now)).exists()
        assert stops.holds(stop_of("address"), now) == found
        return found

    assert agreed()
    still.advance(seconds=1)
    stops.clear(stop_of("address"), by="ana", now=still.now())
    assert not agreed()
    CardTestingStop.objects.update(cleared_at=None)
    assert agreed()
    still.advance(hours=1)
    assert not agreed()


def test_old_stops_are_forgotten(limits: Callable[..., None], still: FrozenClock) -> None:
    limits(address=1, card=1)
    decline(1, HERE)
    refused(start(), HERE)
    still.advance(days=60)
    decline(1, CARD)
    refused(start(), CARD)
    still.advance(days=30, seconds=1)

    forget_idempotency_keys()

    assert [stop.scope for stop in CardTestingStop.objects.all()] == ["card"]


# Under concurrency


@pytest.mark.parametrize("scope", ["address", "card"])
def test_twenty_sessions_at_once_never_have_more_declines_than_the_limit(
    limits: Callable[..., None],
    gateway: type[ScriptedGateway],
    monkeypatch: pytest.MonkeyPatch,
    scope: str,
) -> None:
    limits(**{scope: 5})
    monkeypatch.setattr(gateway, "latency_seconds", 0.05)
    payer = HERE if scope == "address" else CARD
    ids = [start() for _ in range(20)]

    def click(session_id: str) -> Any:
        try:
            return pay(session_id, payer=payer).status
        except TooManyDeclinesError:
            return 429
        finally:
            connection.close()

    with ThreadPoolExecutor(20) as pool:
        outcomes = Counter(pool.map(click, ids))

    assert outcomes == {402: 5, 429: 15}
    assert ChargeAttempt.objects.filter(state=State.DECLINED).count() == 5


def test_sessions_that_share_cards_and_addresses_crosswise_never_deadlock(
    limits: Callable[..., None],
) -> None:
    limits(session=3, address=6, card=6)
    people = [Payer(address=f"192.0.2.{n % 3}", fingerprint=f"c{n % 2}") for n in range(12)]
    ids = [start() for _ in range(6)]

    def click(number: int) -> Any:
        try:
            return pay(ids[number % 6], payer=people[number % 12]).status
        except TooManyDeclinesError:
            return 429
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        rounds = [Counter(pool.map(click, range(k, k + 6))) for k in range(0, 36, 6)]

    assert set().union(*rounds) <= {402, 429}
    for subject in ("address", "card"):
        counted = Counter(ChargeAttempt.objects.values_list(subject, flat=True))
        assert max(counted.values()) <= 6


# What it costs


def test_the_guard_asks_once_besides_its_locks() -> None:
    payer = replace(HERE, fingerprint="card-1")

    with (
        CaptureQueriesContext(
            connection,
        ) as asked,
        get_manager().lock_session(start()),
    ):
        before = len(asked)
        guarding.guard(subjects_of("s", payer), get_clock().now())
        after = len(asked)

    texts = [each["sql"] for each in asked.captured_queries[before:after]]
    assert len(texts) == 2
    assert texts[0].startswith("SELECT pg_advisory_xact_lock")


def test_the_count_reads_by_indexes() -> None:
    subjects = Subjects(session="s", address="a" * 64, card="c" * 64)
    watched = {scope: subjects.of(scope) for scope in Scope}
    with CaptureQueriesContext(connection) as asked:
        tallies(watched, since=get_clock().now())

    # A shop's proportions, and statistics of them: an empty table's plan is anybody's guess.
    with transaction.atomic(), connection.cursor() as cursor:
        a_busy_shop()
        cursor.execute("ANALYZE funnel_chargeattempt")
        cursor.execute("EXPLAIN " + asked.captured_queries[-1]["sql"])
        plan = "\n".join(row[0] for row in cursor.fetchall())
        transaction.set_rollback(True)

    for name in ("session", "address", "card", "due"):
        assert f"funnel_attempt_{name}" in plan
    assert "Seq Scan on funnel_chargeattempt" not in plan


def a_busy_shop() -> None:
    """Record 2,000 charges: nine of ten succeeded, a few are open, the others declined."""
    now = get_clock().now()
    states = [State.DECLINED, State.CLAIMED, *[State.SUCCEEDED] * 18]
    ChargeAttempt.objects.bulk_create(
        ChargeAttempt(
            session_id=f"session-{number}",
            purpose="checkout",
            step="checkout",
            state=state,
            amount=10,
            currency="USD",
            gateway="imported",
            gateway_order_id=f"order-{number}",
            address=f"{number:064}",
            card=f"{number:064}",
            lease_until=now,
            created_at=now,
            settled_at=None if state == State.CLAIMED else now,
        )
        for number in range(2000)
        for state in [states[number % len(states)]]
    )


def test_none_of_a_declined_rows_time_is_lost_at_the_edge(still: FrozenClock) -> None:
    decline(1, HERE)
    moment: datetime = still.now()
    watched = {Scope.ADDRESS: subjects_of("", HERE).address}

    assert tallies(watched, since=moment)[Scope.ADDRESS].number == 0
    just_before = moment - timedelta(microseconds=1)
    assert tallies(watched, since=just_before)[Scope.ADDRESS].number == 1
