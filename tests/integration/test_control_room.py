"""The control room: who may see and move, gates that hold there too, and screens of repairs."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from legacy_adapters.admin import repairing
from legacy_adapters.migration.stages.moving import MovingTimeoutError, OvertakenError
from legacy_adapters.migration.stages.names import Endpoint
from legacy_adapters.migration.steering import operating
from legacy_adapters.models import (
    EndpointStage,
    ParityFinding,
    ParityMinute,
    StageChange,
    WriteMark,
)
from sessions_unified.clock import get_clock
from sessions_unified.exceptions import DatabaseUnavailableError
from sessions_unified.tiers import get_tiers
from tests.control_room import a_finding, a_migration, some_marks, some_minutes
from tests.migrating import migrating_shop, to_stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpResponse
    from pytest_django.fixtures import SettingsWrapper

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_flush")]

ROOM = "/admin/legacy_adapters/migration/"
MARKS = "/admin/legacy_adapters/writemark/"
FINDINGS = "/admin/legacy_adapters/parityfinding/"
HISTORY = "/admin/legacy_adapters/stagechange/"
DETAIL = Endpoint.DETAIL
BAD = '"><script>alert(1)</script>'


@pytest.fixture(autouse=True)
def shop(db: None, settings: SettingsWrapper) -> Iterator[None]:
    with migrating_shop(settings):
        yield


def signed_in(*codenames: str) -> Client:
    user = User.objects.create_user(f"staff-{User.objects.count()}", is_staff=True)
    for name in codenames:
        user.user_permissions.add(Permission.objects.get(codename=name))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def viewer() -> Client:
    return signed_in("view_endpointstage")


@pytest.fixture
def mover() -> Client:
    return signed_in("view_endpointstage", "move_stages")


def url(act: str, endpoint: str = DETAIL) -> str:
    return f"{ROOM}{endpoint}/{act}/"


def said(answered: HttpResponse) -> str:
    return re.sub(r"\s+", " ", answered.content.decode())


def press(client: Client, act: str, **given: Any) -> str:
    """Press a button of the detail's as its page is; return what the answer says."""
    stage, percent = at()
    data = {"shown": f"{stage} {percent:g}", "reason": "Because", **given}
    answered = client.post(url(act), data)
    told = " ".join(str(each) for each in get_messages(answered.wsgi_request))
    return f"{told} {said(answered)}"


def at(endpoint: str = DETAIL) -> tuple[str, float]:
    found = EndpointStage.objects.filter(pk=endpoint).first()
    return ("off", 100) if found is None else (found.stage, float(found.percent))


class TestLooking:
    def test_before_anything_was_moved_the_page_says_so(self, viewer: Client) -> None:
        content = said(viewer.get(ROOM))

        assert "never moved" in content
        assert "Nothing was moved yet" in content
        assert "not compared at off" in content
        assert "Nothing compared yet: comparing begins at shadow." in content
        assert "Nothing waits for repair." in content
        assert "No store was backfilled yet." in content

    def test_what_there_is_to_see_of_a_migration(self, viewer: Client) -> None:
        a_migration()

        content = said(viewer.get(f"{ROOM}?endpoint=session.detail&hours=6"))

        assert "25 %<span" in content
        assert "75 %<span" in content
        assert "checkout.process</strong> went back to shadow by itself" in content
        assert (
            "is paused at dual write: “Old browsers are still on last week&#x27;s page”" in content
        )
        assert "99.972 %" in content  # 1 confirmed of 3,593; transient ones agree
        assert "14 left out" in content
        assert "7.0 → 1.5 ms" in content
        assert "2 sessions could not be repaired" in content
        assert "shadow → live 25 %" in content
        assert f"move {StageChange.objects.latest('pk').pk} <span" in content

    def test_the_charts_add_up(self, viewer: Client) -> None:
        a_migration()

        for hours in (1, 6, 24):
            found = viewer.get(f"{ROOM}data/?endpoint=session.detail&hours={hours}").json()
            charts = {each["name"]: each for each in found["series"]["charts"]}
            step = {1: 1, 6: 5, 24: 20}[hours]
            lines = {each["label"]: each["values"] for each in charts["compared"]["lines"]}
            parity = {each["label"]: each["values"] for each in charts["parity"]["lines"]}

            counted = sum(
                ParityMinute.objects.filter(endpoint=DETAIL).values_list("compared", flat=True)
            )
            assert round(sum(lines["compared"]) * step) == counted
            assert parity["agreeing"][-1] == pytest.approx(100 * (1 - 1 / counted))
            low, high = parity["lower bound"][-1], parity["upper bound"][-1]
            assert low == pytest.approx(99.875, abs=0.001)  # as the table says
            assert parity["agreeing"][-1] < high <= 100
            backlog = charts["backlog"]["lines"]
            assert [each["values"][-1] for each in backlog] == [23, 2]

    def test_comparisons_of_another_stage_do_not_count_as_parity(self, viewer: Client) -> None:
        to_stage("shadow")
        now = get_clock().now()
        StageChange.objects.update(at=now - timedelta(hours=2))
        some_minutes(DETAIL, "live", now, minutes=5)

        found = viewer.get(f"{ROOM}data/?endpoint=session.detail").json()

        parity, compared = found["series"]["charts"][:2]
        assert set(parity["lines"][2]["values"]) == {None}
        assert any(compared["lines"][0]["values"])

    def test_the_data_are_the_page(self, viewer: Client) -> None:
        a_migration()

        answered = viewer.get(f"{ROOM}data/?endpoint=nonsense&hours=99")
        page = said(viewer.get(ROOM))

        assert "no-store" in answered["Cache-Control"]
        for name, part in answered.json()["parts"].items():
            assert f'data-live="{name}"' in page
            assert re.sub(r"\s+", " ", part).strip()[:200] in page

    def test_more_rows_are_no_more_queries(self, viewer: Client) -> None:
        a_migration()

        def count() -> int:
            with CaptureQueriesContext(connection) as queries:
                viewer.get(f"{ROOM}data/?endpoint=session.detail")
            return len(queries)

        few = count()
        some_minutes("client.sync", "shadow", get_clock().now(), minutes=50)
        WriteMark.objects.all().delete()
        some_marks(get_clock().now(), waiting=60, dead=20)

        assert count() == few

    def test_whatever_people_and_stores_say_is_text(self, mover: Client) -> None:
        a_migration()
        EndpointStage.objects.update(pause_reason=BAD)
        StageChange.objects.update(actor=BAD, reason=BAD, gates=[{"name": BAD, "reason": BAD}])
        WriteMark.objects.update(problem=BAD)
        evidence = [{"field": BAD, "unified": BAD, "legacy": {BAD: [BAD]}}]
        ParityFinding.objects.update(fields=[BAD], evidence=evidence)
        reader = signed_in("view_writemark", "view_parityfinding", "view_stagechange")
        finding, change = ParityFinding.objects.get(), StageChange.objects.latest("pk")

        pages = [mover.get(ROOM), mover.get(url("pause")), mover.get(f"{ROOM}?endpoint={BAD}")]
        pages += [
            reader.get(each)
            for each in (
                *(MARKS, FINDINGS, HISTORY),
                f"{FINDINGS}{finding.pk}/change/",
                f"{HISTORY}{change.pk}/change/",
            )
        ]

        assert [each.status_code for each in pages] == [200] * len(pages)
        assert not [each for each in pages if b"<script>alert" in each.content]
        assert b"<script>alert" not in mover.get(f"{ROOM}data/").content.replace(b"\\u003C", b"<")


class TestPermissions:
    def test_those_who_look_have_no_buttons(self, viewer: Client) -> None:
        to_stage("shadow", DETAIL)

        content = said(viewer.get(ROOM))

        assert "Roll back" not in content
        assert "lacks the permission to move" in content
        for act in ("advance", "percentage", "rollback", "pause", "resume"):
            assert viewer.get(url(act)).status_code == 403
            given = {"shown": "shadow 100", "reason": "x", "percent": "50", "stage": "off"}
            assert viewer.post(url(act), given).status_code == 403
        assert at() == ("shadow", 100)

    def test_those_who_may_not_look_see_nothing(self) -> None:
        stranger = signed_in("move_stages", "view_sessionconflict")

        for each in (ROOM, f"{ROOM}data/", url("pause")):
            assert stranger.get(each).status_code == 403
            assert Client().get(each).status_code == 302
        given = {"shown": "off 100", "reason": "x"}
        assert stranger.post(url("pause"), given).status_code == 403
        assert "Control room" not in said(stranger.get("/admin/legacy_adapters/"))

    def test_the_index_leads_there(self, viewer: Client) -> None:
        assert f'href="{ROOM}"' in said(viewer.get("/admin/legacy_adapters/"))

    def test_a_move_needs_the_form_of_this_site(self) -> None:
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(User.objects.create_superuser("root"))

        answered = strict.post(url("pause"), {"shown": "off 100", "reason": "x"})

        assert answered.status_code == 403
        assert not EndpointStage.objects.exists()

    def test_unknown_endpoints_and_buttons(self, mover: Client) -> None:
        assert mover.get(url("advance", "session.delete")).status_code == 404
        assert mover.get(url("explode")).status_code == 404
        assert mover.put(url("pause")).status_code == 405


class TestMoving:
    def test_advancing(self, mover: Client) -> None:
        assert "off → dual write 20 %" in press(mover, "advance", percent="20")

        assert at() == ("dual_write", 20)
        change = StageChange.objects.latest("pk")
        assert (change.actor, change.reason) == (User.objects.get().username, "Because")
        assert change.gates

    def test_a_shut_gate_holds_here_too(self, mover: Client) -> None:
        to_stage("dual_write", DETAIL)

        content = press(mover, "advance", percent="100")

        assert "Refused: a gate is shut. Nothing was moved." in content
        assert 'class="la-shut"' in content
        assert "session.create" in content  # what it waits for
        assert at() == ("dual_write", 100)

    def test_a_percentage_grows_through_gates_and_shrinks_without(self, mover: Client) -> None:
        to_stage("dual_write", DETAIL, percent=20)

        assert "dual write 20 % → dual write 60 %" in press(mover, "percentage", percent="60")
        operating.pause(get_tiers(), DETAIL, actor="ada", reason="Wait")
        assert "Refused: a gate is shut" in press(mover, "percentage", percent="70")
        assert "dual write 60 % → dual write 5 %" in press(mover, "percentage", percent="5")

    def test_a_move_back_asks_only_where_reads_leave_live(self, mover: Client) -> None:
        to_stage("live")

        refused = press(mover, "rollback", stage="shadow", percent="100")
        assert "Reads go back to the legacy store" in refused
        assert at() == ("live", 100)
        ticked = {"stage": "shadow", "percent": "100", "is_understood": "on"}
        assert "live → shadow" in press(mover, "rollback", **ticked)
        assert "shadow → dual write" in press(mover, "rollback", stage="dual_write", percent="100")

    def test_holding_and_letting_go(self, mover: Client) -> None:
        assert "Paused: session.detail is held at off" in press(mover, "pause")
        assert "Resume…" in said(mover.get(ROOM))
        assert EndpointStage.objects.get().pause_reason == "Because"

        assert "may be advanced again" in press(mover, "resume")
        assert EndpointStage.objects.get().paused_at is None

    @pytest.mark.parametrize(
        ("given", "text"),
        [
            ({"reason": ""}, "This field is required."),
            ({"reason": "Card 4111 1111 1111 1111"}, "looks like a card number"),
            ({"reason": "x" * 451}, "at most 450 characters"),
            ({"percent": "0"}, "greater than or equal to 0.01"),
            ({"percent": "101"}, "less than or equal to 100"),
            ({"percent": "NaN"}, "Enter a number."),
            ({"shown": "shadow 100"}, "Somebody else has moved the endpoint"),
            ({"shown": ""}, "Nothing was moved."),
        ],
    )
    def test_what_is_refused(self, mover: Client, given: dict[str, str], text: str) -> None:
        assert text in press(mover, "advance", **{"percent": "100", **given})
        assert not EndpointStage.objects.exists()

    @pytest.mark.parametrize(
        ("problem", "text"),
        [
            (OvertakenError(), "Somebody else has moved the endpoint meanwhile"),
            (MovingTimeoutError(), "Writes of before were still under way"),
            (DatabaseUnavailableError(), "The database did not answer"),
            (OperationalError(), "The database did not answer"),
        ],
    )
    def test_a_move_that_fails_is_a_message(
        self, mover: Client, monkeypatch: pytest.MonkeyPatch, problem: Exception, text: str
    ) -> None:
        def fail(*_: Any, **__: Any) -> None:
            raise problem

        monkeypatch.setattr(operating, "advance", fail)

        assert text in press(mover, "advance", percent="100")

    def test_looking_at_a_button_moves_nothing(self, mover: Client) -> None:
        to_stage("live")

        for act in ("advance", "percentage", "rollback", "pause", "resume"):
            assert 'name="shown" value="live 100"' in said(mover.get(url(act)))

        assert StageChange.objects.count() == len(Endpoint)


class TestRepairs:
    @pytest.fixture(autouse=True)
    def marks(self) -> None:
        some_marks(get_clock().now(), waiting=3, dead=1)

    def chosen(self, action: str, **lookups: Any) -> dict[str, Any]:
        marks = WriteMark.objects.filter(**lookups)
        return {"action": action, "_selected_action": [mark.pk for mark in marks]}

    def test_the_list_and_its_filters(self) -> None:
        client = signed_in("view_writemark")
        dead = WriteMark.objects.get(is_dead=True)

        content = said(client.get(f"{MARKS}?state=dead"))

        assert f'title="{dead.pk}"' in content
        assert "holds 20 characters" in content
        assert content.count('class="su-id"') == 1
        assert said(client.get(f"{MARKS}?state=waiting")).count('class="su-id"') == 3
        assert said(client.get(f"{MARKS}?side=legacy")).count('class="su-id"') == 1
        assert said(client.get(f"{MARKS}?q={dead.pk}")).count('class="su-id"') == 1

    def test_those_who_look_may_not_repair(self) -> None:
        client = signed_in("view_writemark")

        for action in ("repair_now", "again"):
            client.post(MARKS, self.chosen(action))

        assert WriteMark.objects.count() == 4
        assert WriteMark.objects.filter(is_dead=True).count() == 1

    def test_repairing_now(self) -> None:
        client = signed_in("view_writemark", "repair_sessions")

        content = said(client.post(MARKS, self.chosen("repair_now"), follow=True))

        assert "Repaired: 4 sessions. Both sides agree." in content  # gone on both sides
        assert not WriteMark.objects.exists()

    def test_one_that_cannot_be_repaired_does_not_stop_the_others(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = signed_in("view_writemark", "repair_sessions")
        bad = WriteMark.objects.order_by("pk").first()
        assert bad is not None
        real = repairing.repair

        def fail(tiers: Any, session_id: str) -> bool:
            if session_id == bad.pk:
                raise DatabaseUnavailableError
            return real(tiers, session_id)

        monkeypatch.setattr(repairing, "repair", fail)

        content = said(client.post(MARKS, self.chosen("repair_now"), follow=True))

        assert f"Not repaired: {bad.pk}. A database did not answer." in content
        assert "Repaired: 3 sessions" in content
        assert [mark.pk for mark in WriteMark.objects.all()] == [bad.pk]

    def test_trying_again(self) -> None:
        client = signed_in("view_writemark", "repair_sessions")

        content = said(client.post(MARKS, self.chosen("again"), follow=True))

        assert "A worker tries again: 1 session." in content
        assert not WriteMark.objects.filter(is_dead=True).exists()
        content = said(client.post(MARKS, self.chosen("again"), follow=True))
        assert "Nothing to do" in content

    def test_too_many_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("legacy_adapters.admin.marks.MAX_AT_ONCE", 2)
        client = signed_in("view_writemark", "repair_sessions")

        assert "Nothing was done." in said(
            client.post(MARKS, self.chosen("repair_now"), follow=True)
        )
        assert WriteMark.objects.count() == 4


class TestDifferencesAndHistory:
    def test_a_difference_is_shown_as_it_was_noted(self) -> None:
        finding = a_finding(get_clock().now())
        client = signed_in("view_parityfinding")

        listed = said(client.get(f"{FINDINGS}?endpoint=checkout.process"))
        content = said(client.get(f"{FINDINGS}{finding.pk}/change/"))

        assert "products" in listed
        assert "checkout.process at live" in listed
        assert "SOIL, 2 of them" in content
        assert "SOIL, 1 of them" in content
        assert client.post(f"{FINDINGS}{finding.pk}/change/").status_code == 405
        assert finding.session_id not in said(client.get(f"{FINDINGS}?endpoint=client.sync"))

    def test_the_history_says_who_and_what_moved_by_itself(self) -> None:
        a_migration()
        client = signed_in("view_stagechange")
        demotion = StageChange.objects.get(is_automatic=True)

        listed = said(client.get(f"{HISTORY}?origin=itself"))
        content = said(client.get(f"{HISTORY}{demotion.pk}/change/"))

        assert listed.count("result_list") >= 1
        assert "by itself" in listed
        assert "grace" not in listed
        assert "5 confirmed differences of 412" in content
        assert 'class="la-shut"' in content
        assert client.post(f"{HISTORY}{demotion.pk}/change/").status_code == 405
        assert client.get(f"{HISTORY}add/").status_code == 403

    @pytest.mark.parametrize("page", [MARKS, FINDINGS, HISTORY])
    def test_each_list_needs_its_own_permission(self, page: str, viewer: Client) -> None:
        finding = a_finding(get_clock().now())

        assert viewer.get(page).status_code == 403
        assert viewer.get(f"{FINDINGS}{finding.pk}/change/").status_code == 403
