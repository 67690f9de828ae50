"""A host's clock is five minutes off: sessions live and end by the database's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import pytest

from sessions_unified import tokens
from sessions_unified.models import UnifiedSession
from tests.live_site import Caller, Shopper
from tests.managing import wait_for

if TYPE_CHECKING:
    from tests.fault_site import FaultSite

NEAR = timedelta(seconds=3)


def database_now() -> datetime:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
    return now


def ends(shopper: Shopper, *, in_seconds: float) -> Shopper:
    """Let the session end so long from now, by the database's clock."""
    at = database_now() + timedelta(seconds=in_seconds)
    UnifiedSession.objects.filter(pk=shopper.id).update(expires_at=at)
    return shopper


@pytest.mark.parametrize(("skewed", "skew"), [(0, 300), (1, -300)])
def test_r22_a_host_whose_clock_is_off_lives_by_the_database_s(
    patient_pair: tuple[FaultSite, FaultSite], skewed: int, skew: int
) -> None:
    # All fault tests run on hosts whose clocks are off; this one looks at the times.
    site, other = patient_pair[skewed], patient_pair[1 - skewed]
    believed = parsedate_to_datetime(site.livez().headers["Date"]) - datetime.now(UTC)
    assert abs(believed - timedelta(seconds=skew)) < NEAR  # the fault is there

    before = database_now()
    here = Shopper.start(site.base)
    after = database_now()
    there = Shopper.start(other.base)
    alive = ends(Shopper.start(other.base), in_seconds=30)
    over = ends(Shopper.start(other.base), in_seconds=-30)

    row = UnifiedSession.objects.get(pk=here.id)
    assert before - NEAR < row.created_at < after + NEAR
    assert row.expires_at - row.created_at == timedelta(hours=24)
    # Tokens of either open at the other.
    assert other.at(here).get().status == site.at(there).get().status == 200
    assert site.at(alive).get().status == 200
    assert site.at(over).get().status == 410
    # A copy that one made is as old for the other as it is.
    here.get()
    other.at(here).get()
    report = other.at(here).send("GET", f"{here.path}/validate").json
    ages = [tier["ageSeconds"] for tier in report["tiers"] if tier["isPresent"]]
    assert len(ages) >= 2
    assert max(ages) < NEAR.total_seconds()


def test_r22_the_first_requests_of_a_process_wait_for_the_database_s_time(
    patient_pair: tuple[FaultSite, FaultSite],
) -> None:
    behind = patient_pair[1]
    shopper = behind.at(Shopper.start(patient_pair[0].base))
    behind.kill_workers()
    behind.wait_until_up()  # by /livez, which needs no clock
    behind.database.delay(0.1)

    with ThreadPoolExecutor(6) as pool:
        statuses = list(pool.map(lambda _: shopper.get().status, range(6)))

    assert set(statuses) == {200}  # 401: judged by the host's clock, the token is of the future


def test_r22_copies_of_hosts_ten_minutes_apart_replace_one_another(
    patient_pair: tuple[FaultSite, FaultSite],
) -> None:
    here = Shopper.start(patient_pair[0].base)
    there = patient_pair[1].at(here)

    for number in range(6):
        writer, reader = (here, there) if number % 2 else (there, here)
        reader.get()
        assert writer.patch({"metadata": {"n": number}}).status == 200
        assert writer.get().json["metadata"] == {"n": number}
        wait_for(lambda r=reader, n=number: r.get().json["metadata"] == {"n": n})


def test_r22_a_token_has_at_most_a_minute_of_leeway(patient_site: FaultSite) -> None:
    shopper, now = Shopper.start(patient_site.base), database_now()

    def status(*, issued: int, expires: int) -> int:
        token = tokens.issue(
            shopper.id,
            now=now + timedelta(seconds=issued),
            expires_at=now + timedelta(seconds=expires),
        )
        bearer = Caller(base=patient_site.base, headers={"Authorization": f"Bearer {token}"})
        return bearer.send("GET", shopper.path).status

    assert status(issued=0, expires=3600) == 200
    assert status(issued=50, expires=3600) == 200
    assert status(issued=80, expires=3600) == 401
    assert status(issued=300, expires=3600) == 401
    assert status(issued=-3600, expires=-2) == 401
