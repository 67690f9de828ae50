"""``manage.py reseal``: every sealed value under the first key, beside whoever else writes."""

from __future__ import annotations

import base64
import json
import threading
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import Client

from funnel.payments.models import ChargeAttempt
from sessions_unified import get_manager, resealing, sealing
from sessions_unified.doctor import CHECKS, Finding, Status, run
from sessions_unified.models import SessionEvent, UnifiedSession
from tests.charges import attempts, paid, session_of, start

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django.fixtures import SettingsWrapper

pytestmark = pytest.mark.usefixtures("transactional_db", "redis_flush")


def key(letter: str) -> str:
    return base64.urlsafe_b64encode(letter.encode() * 32).decode()


@pytest.fixture(autouse=True)
def _old_key(settings: SettingsWrapper) -> Iterator[None]:
    use(settings, old=key("o"))
    yield
    sealing._keys.cache_clear()


def use(settings: SettingsWrapper, **keys: str) -> None:
    settings.SESSIONS_UNIFIED = settings.SESSIONS_UNIFIED | {"ENCRYPTION_KEYS": keys}


def reseal(*options: str) -> dict[str, Any]:
    out = StringIO()
    call_command("reseal", "--json", *options, stdout=out)
    answer: dict[str, Any] = json.loads(out.getvalue())
    return answer


def stored() -> list[str]:
    """Return everything that is sealed, as it is in the database."""
    found: list[str] = []
    with connection.cursor() as cursor:
        for sql in (
            "SELECT vault_id FROM sessions_unified_unifiedsession",
            "SELECT payment_token FROM sessions_unified_unifiedsession",
            "SELECT vault_id FROM funnel_chargeattempt",
        ):
            cursor.execute(f"{sql} ORDER BY id")
            found += [text for (text,) in cursor.fetchall() if text is not None]
    return found


def look() -> Finding:
    ((_, finding),) = run([check for check in CHECKS if check.name == "encryption at rest"])
    return finding


def world() -> tuple[str, str]:
    """Return a paid session, whose card is stored twice, and one with a payment token."""
    order, cart = paid(), start()
    get_manager().update_session(cart, {"payment_token": "tok_canary"})
    return order, cart


def test_every_value_is_under_the_first_key_and_says_what_it_said(
    settings: SettingsWrapper,
) -> None:
    order, cart = world()
    before = [(s.pk, s.version, s.updated_at) for s in UnifiedSession.objects.order_by("pk")]
    events, vault = SessionEvent.objects.count(), session_of(order).vault_id

    use(settings, new=key("n"), old=key("o"))
    first = reseal("--batch-size", "1")
    again = reseal()
    use(settings, new=key("n"))

    assert first == {
        "resealed": 3,
        "current": 0,
        "unreadable": {},
        "skipped": 0,
        "dryRun": False,
    }
    assert (again["resealed"], again["current"]) == (0, 3)
    assert all(text.startswith("sealed:new:") for text in stored())
    assert session_of(order).vault_id == attempts(order)[0].vault_id == vault
    assert session_of(cart).payment_token == "tok_canary"
    after = [(s.pk, s.version, s.updated_at) for s in UnifiedSession.objects.order_by("pk")]
    assert after == before
    assert SessionEvent.objects.count() == events


def test_a_dry_run_counts_and_writes_nothing(settings: SettingsWrapper) -> None:
    world()
    before = stored()
    use(settings, new=key("n"), old=key("o"))

    counted = reseal("--dry-run")

    assert (counted["resealed"], counted["dryRun"]) == (3, True)
    assert stored() == before


def test_what_was_never_sealed_is(settings: SettingsWrapper) -> None:
    order, _ = world()
    UnifiedSession.objects.filter(pk=order).update(vault_id="117041394")

    assert reseal()["resealed"] == 1
    assert session_of(order).vault_id == "117041394"
    assert "117041394" not in stored()


def test_what_cannot_be_opened_stays_is_counted_by_key_and_fails(
    settings: SettingsWrapper,
) -> None:
    world()
    before = stored()
    use(settings, new=key("n"))

    with pytest.raises(CommandError, match=r"'old' \(3\)"):
        reseal()
    assert stored() == before


def test_rows_that_others_hold_are_passed_over_and_done_the_next_time(
    settings: SettingsWrapper,
) -> None:
    order, _ = world()
    use(settings, new=key("n"), old=key("o"))
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            list(UnifiedSession.objects.select_for_update().filter(pk=order))
            held.set()
            let_go.wait(30)
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(60)
    try:
        with pytest.raises(CommandError, match="1 rows were being written"):
            reseal()
    finally:
        let_go.set()
        holder.join()

    assert reseal()["resealed"] == 1
    assert all(text.startswith("sealed:new:") for text in stored())


def test_a_write_meanwhile_is_not_overwritten(settings: SettingsWrapper) -> None:
    order, _ = world()
    use(settings, new=key("n"), old=key("o"))

    def write(_: int) -> None:
        get_manager().update_session(order, {"vault_id": "v-other"})

    resealing.reseal(batch_size=1, advance=write)

    assert session_of(order).vault_id == "v-other"


def test_it_finds_the_fields_of_every_app() -> None:
    found = {place.model: place.names for place in resealing.places()}

    assert found[UnifiedSession] == ("vault_id", "payment_token")
    assert found[ChargeAttempt] == ("vault_id",)


def test_it_tells_a_person(settings: SettingsWrapper) -> None:
    out = StringIO()
    call_command("reseal", stdout=out)
    assert out.getvalue() == "Nothing is encrypted here yet.\n"
    world()
    use(settings, new=key("n"), old=key("o"))

    call_command("reseal", stdout=out)

    assert "Encrypted 3 values under the first key; 0 were under it already." in out.getvalue()
    with pytest.raises(CommandError, match="at least 1"):
        call_command("reseal", "--batch-size", "0")


def test_the_doctor_says_what_is_old_and_what_cannot_be_opened(settings: SettingsWrapper) -> None:
    assert (look().status, look().text) == (Status.OK, "none yet")
    world()
    assert (look().status, look().text) == (Status.OK, "3 sampled, all under the first key")

    use(settings, new=key("n"), old=key("o"))
    assert look().status is Status.WARN
    assert "3 of 3 sampled values are not under the first key" in look().text

    use(settings, new=key("n"))
    assert look().status is Status.FAIL
    assert "3 of 3 sampled values cannot be opened (keys 'old')" in look().text


def test_a_session_that_cannot_be_opened_is_said_clearly_and_nothing_crashes(
    settings: SettingsWrapper,
) -> None:
    from tests.integration.test_card_data_canary import browser

    order, _ = world()
    shopper, root = browser(order), Client()
    root.force_login(User.objects.create_superuser("root"))
    use(settings, new=key("n"))
    url = f"/admin/sessions_unified/unifiedsession/{order}/"

    answered = shopper.get(f"/api/session/{order}")
    page = root.get(f"{url}change/")

    assert (answered.status_code, answered.json()["code"]) == (503, "sealed_value")
    assert "Retry-After" in answered.headers
    assert "ENCRYPTION_KEYS" not in answered.content.decode()
    assert page.status_code == 200
    assert "Put its key back into ENCRYPTION_KEYS" in page.content.decode()
    assert shopper.get("/upsell-1").status_code == 503
    assert root.get("/admin/sessions_unified/unifiedsession/").status_code == 200
    assert root.get("/admin/funnel/chargeattempt/").status_code == 200
    acted = root.post(f"{url}act/extend/", {"confirmed": "1", "hours": "2"}, follow=True)
    assert "Put its key back into ENCRYPTION_KEYS" in acted.content.decode()
    with pytest.raises(CommandError, match="ENCRYPTION_KEYS"):
        call_command("inspect_session", order)
