"""Staff look after the migration: conflicts decided, backfills watched, broken things inspected."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from playwright.sync_api import expect

from legacy_adapters.admin import deciding
from legacy_adapters.conf import get_adapter
from legacy_adapters.database.store import Table
from legacy_adapters.merging import evidence
from legacy_adapters.migration.backfill.runs import encode_key
from legacy_adapters.models import (
    BackfillFinding,
    BackfillRun,
    BackfillSlice,
    ImportRecord,
    KeptBlob,
    RefusedToken,
    SessionConflict,
)
from legacy_adapters.stores import Store
from sessions_unified import get_manager
from sessions_unified.clock import get_clock
from sessions_unified.importing import import_sessions
from sessions_unified.models import UnifiedSession
from sessions_unified.sealing import unseal
from sessions_unified.tiers import get_tiers
from tests.acceptance.test_admin import own_admin, own_site, shot
from tests.legacy import create_table, put, row

if TYPE_CHECKING:
    from django.http import HttpResponse
    from playwright.sync_api import Page
    from pytest_django.fixtures import SettingsWrapper

    from tests.acceptance.test_admin import Shot

__all__ = ["own_admin", "own_site", "shot"]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_flush")]

TABLE = Table(alias="default", name="funnel_sessions")
ID = row()["id"]
CONFLICTS = "/admin/legacy_adapters/sessionconflict/"
RUNS = "/admin/legacy_adapters/backfillrun/"
BLOBS = "/admin/legacy_adapters/keptblob/"
LISTS = {
    "sessionconflict": "view_sessionconflict",
    "backfillrun": "view_backfillrun",
    "keptblob": "view_keptblob",
    "refusedtoken": "view_refusedtoken",
    "importrecord": "view_importrecord",
}
CANARIES = ("canary-ours@", "canary-theirs@", "Canaryfirst", "Canarystreet", "117041394")


def signed_in(*codenames: str) -> Client:
    user = User.objects.create_user(f"staff-{User.objects.count()}", is_staff=True)
    for name in codenames:
        user.user_permissions.add(Permission.objects.get(codename=name))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture(autouse=True)
def one_store(settings: SettingsWrapper) -> None:
    settings.LEGACY_ADAPTERS = {
        "database": {"ADAPTER": "legacy_adapters.database.DatabaseAdapter", "ALIAS": "default"}
    }


@pytest.fixture
def clerk() -> Client:
    """Return somebody who may look and decide, and see personal data."""
    return signed_in("view_sessionconflict", "resolve_conflicts", "view_pii")


@pytest.fixture
def conflict(db: None) -> SessionConflict:
    return a_conflict()


def a_conflict() -> SessionConflict:
    """Put a session and a record that contradict each other, full of personal data."""
    theirs = row(
        email="canary-theirs@example.org",
        customer_info={"firstName": "Canaryfirst", "address": {"line1": "1 Canarystreet"}},
        amount="15.00",
        vault_id="117041394",
    )
    create_table(TABLE)
    put(TABLE, row(email="canary-ours@example.org"))
    adapter = get_adapter("database")
    record = adapter.peek(ID)
    assert record is not None
    ours = adapter.to_unified(record)
    import_sessions(get_tiers(), [ours], source="database")
    put(TABLE, theirs)
    record = adapter.peek(ID)
    assert record is not None
    fields = ("email", "customer", "amount", "vault_id")
    session = adapter.to_unified(record)
    noted = evidence.of_fields(fields, unified=ours, legacy=session, store=Store.DATABASE)
    return SessionConflict.objects.create(
        source="database",
        session_id=ID,
        digest=record.digest,
        fields=list(fields),
        evidence=noted,
        seen_at=get_clock().now(),
    )


def page(client: Client, conflict: SessionConflict) -> str:
    answered = client.get(f"{CONFLICTS}{conflict.pk}/change/")
    assert answered.status_code == 200
    return answered.content.decode()


def form_of(content: str) -> dict[str, str]:
    """Return what the page's form would send of itself."""
    found = re.findall(r'<input type="hidden" name="([\w-]+)" value="([^"]*)"', content)
    return {name: value for name, value in found if name != "csrfmiddlewaretoken"}


def decide(client: Client, conflict: SessionConflict, **given: Any) -> HttpResponse:
    shown = form_of(page(client, conflict))
    data = {**shown, "decision": "keep", "reason": "Asked the shopper", **given}
    return client.post(f"{CONFLICTS}{conflict.pk}/resolve/", data, follow=True)


def said(answered: HttpResponse) -> str:
    return re.sub(r"\s+", " ", answered.content.decode())


class TestLooking:
    def test_both_sides_stand_side_by_side(self, clerk: Client, conflict: SessionConflict) -> None:
        content = page(clerk, conflict)

        assert "canary-ours@example.org" in content
        assert "canary-theirs@example.org" in content
        assert 'value="email"' in content
        assert "The session has one of its own" in content  # the amount is not offered
        assert 'value="amount"' not in content
        assert "Trusted copies must agree" in content
        assert f"/admin/sessions_unified/unifiedsession/{ID.replace('_', '_5F')}/" in content

    def test_without_the_permission_nothing_personal_is_shown(
        self, conflict: SessionConflict
    ) -> None:
        masked = signed_in("view_sessionconflict", "resolve_conflicts")

        content = page(masked, conflict) + masked.get(CONFLICTS).content.decode()

        assert not [each for each in CANARIES if each in content]
        assert "Personal data is masked" in content

    def test_a_vault_id_is_never_shown_whole(
        self, clerk: Client, conflict: SessionConflict
    ) -> None:
        assert "117041394" not in page(clerk, conflict)
        assert "…1394" in page(clerk, conflict)

    def test_a_record_that_is_gone_is_shown_as_it_was_noted(
        self, clerk: Client, conflict: SessionConflict
    ) -> None:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM funnel_sessions")

        content = page(clerk, conflict)

        assert "The store has no such record now." in content
        assert "c•••@example.org" in content
        assert "Take the chosen" not in content

    def test_a_store_that_does_not_answer_is_said_to(
        self, clerk: Client, conflict: SessionConflict
    ) -> None:
        SessionConflict.objects.update(source="elsewhere")

        assert "LEGACY_ADAPTERS has no such store any more." in page(clerk, conflict)

    def test_a_session_that_was_kept_out_is_said_to_be(
        self, clerk: Client, conflict: SessionConflict
    ) -> None:
        UnifiedSession.objects.all().delete()

        content = page(clerk, conflict)

        assert "The session is not here" in content
        assert "Its other copies" in content
        assert '<button type="submit" name="decision"' not in content

    def test_looking_writes_nothing(self, clerk: Client, conflict: SessionConflict) -> None:
        clerk.get(CONFLICTS)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            page(clerk, conflict)
            clerk.get(f"{CONFLICTS}{conflict.pk}/resolve/")

        written = [
            each["sql"] for each in queries if re.match("(INSERT|UPDATE|DELETE)", each["sql"])
        ]
        assert not written
        assert clerk.post(f"{CONFLICTS}{conflict.pk}/change/").status_code == 405

    def test_the_open_ones_are_listed_first(self, clerk: Client, conflict: SessionConflict) -> None:
        other = SessionConflict.objects.create(
            source="database", session_id="ws_1_b", state="kept", seen_at=get_clock().now()
        )

        def listed(query: str = "") -> list[str]:
            content = clerk.get(f"{CONFLICTS}{query}").content.decode()
            return re.findall(r'class="su-id" title="(ws_\w+)"', content)

        assert listed() == [ID]
        assert set(listed("?state=all")) == {ID, other.session_id}
        assert listed("?state=kept") == [other.session_id]
        assert listed("?q=ws_1_b") == [other.session_id]
        assert listed("?decision=ruled") == []
        assert listed("?source=database") == [ID]


class TestDeciding:
    def test_keeping_ours(self, clerk: Client, conflict: SessionConflict) -> None:
        answered = decide(clerk, conflict)

        assert "Decided: the session&#x27;s own values are kept." in said(answered)
        conflict.refresh_from_db()
        assert (conflict.state, conflict.reason) == ("kept", "Asked the shopper")
        assert "Asked the shopper" in page(clerk, conflict)
        assert LogEntry.objects.count() == 1

    def test_taking_theirs(self, clerk: Client, conflict: SessionConflict) -> None:
        answered = decide(clerk, conflict, decision="take", fields_taken=["email", "vault_id"])

        assert "Decided: taken from the legacy record: email, vault id." in said(answered)
        stored = UnifiedSession.objects.get(pk=ID)
        assert stored.email == "canary-theirs@example.org"
        assert unseal(str(stored.vault_id)) == "117041394"

    @pytest.mark.parametrize(
        ("given", "text"),
        [
            ({"reason": ""}, "This field is required."),
            ({"reason": "Card 4111 1111 1111 1111"}, "looks like a card number"),
            ({"fields_taken": ["email"]}, "choose none to keep ours"),
            ({"decision": "take"}, "Choose at least one field to take."),
            ({"decision": "take", "fields_taken": ["amount"]}, "charges are the authority"),
            (
                {"decision": "take", "fields_taken": ["metadata"]},
                "metadata is not one of the available",
            ),
            ({"version": "99"}, "The session has changed since this page was shown."),
            ({"digest": "f" * 64}, "The legacy record has changed since this page was shown."),
        ],
    )
    def test_what_is_refused(
        self, clerk: Client, conflict: SessionConflict, given: dict[str, Any], text: str
    ) -> None:
        answered = decide(clerk, conflict, **given)

        assert text in said(answered)
        conflict.refresh_from_db()
        assert conflict.state == "open"
        assert UnifiedSession.objects.get(pk=ID).version == 1

    def test_the_second_person_is_told(self, clerk: Client, conflict: SessionConflict) -> None:
        shown = form_of(page(clerk, conflict))
        decide(signed_in("view_sessionconflict", "resolve_conflicts"), conflict)

        data = {**shown, "decision": "take", "fields_taken": ["email"], "reason": "Theirs"}
        answered = clerk.post(f"{CONFLICTS}{conflict.pk}/resolve/", data)

        assert "Somebody else has decided this conflict" in said(answered)
        assert UnifiedSession.objects.get(pk=ID).version == 1

    @pytest.mark.parametrize("decision", ["keep", "take"])
    def test_a_conflict_that_is_gone_meanwhile(
        self,
        clerk: Client,
        conflict: SessionConflict,
        decision: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        shown = form_of(page(clerk, conflict)) | {"decision": decision, "reason": "Mine"}
        chosen = ["email"] if decision == "take" else []
        monkeypatch.setattr(
            deciding, "Decision", lambda **_: SessionConflict.objects.all().delete()
        )

        answered = clerk.post(
            f"{CONFLICTS}{conflict.pk}/resolve/", shown | {"fields_taken": chosen}, follow=True
        )

        assert "or both sides agree by now" in said(answered)
        assert UnifiedSession.objects.get(pk=ID).version == 1

    def test_a_held_session_offers_nothing_to_take(
        self, clerk: Client, conflict: SessionConflict
    ) -> None:
        with get_manager().lock_session(ID) as locked:
            locked.hold()

        content = page(clerk, conflict)

        assert "A charge of the session is open (held)" in content
        assert "Take the chosen" not in content

    def test_of_a_deleted_session_ours_can_be_kept(
        self, clerk: Client, conflict: SessionConflict
    ) -> None:
        get_manager().delete_session(ID)

        assert "The session was deleted" in page(clerk, conflict)
        assert "Take the chosen" not in page(clerk, conflict)
        decide(clerk, conflict)
        conflict.refresh_from_db()
        assert conflict.state == "kept"

    def test_several_at_once(self, clerk: Client, conflict: SessionConflict) -> None:
        second = SessionConflict.objects.create(
            source="elsewhere", session_id="ws_1_b", digest="d", seen_at=get_clock().now()
        )
        chosen = {"action": "keep_ours", "_selected_action": [conflict.pk, second.pk]}
        asked = clerk.post(CONFLICTS, chosen)
        assert "Keep ours: 2 conflicts" in said(asked)
        data = form_of(asked.content.decode()) | chosen | {"reason": "Old shop is wrong"}
        SessionConflict.objects.filter(pk=second.pk).update(digest="moved")

        answered = clerk.post(CONFLICTS, data, follow=True)

        assert "1 conflict was decided" in said(answered)
        assert "Not decided: ws_1_b. The legacy record has changed" in said(answered)
        conflict.refresh_from_db()
        assert (conflict.state, conflict.reason) == ("kept", "Old shop is wrong")

    def test_several_need_a_reason(self, clerk: Client, conflict: SessionConflict) -> None:
        data = {"action": "keep_ours", "_selected_action": [conflict.pk], "confirmed": "yes"}

        assert "This field is required." in said(clerk.post(CONFLICTS, data))
        conflict.refresh_from_db()
        assert conflict.state == "open"


class TestPermissions:
    def test_those_who_look_may_not_decide(self, conflict: SessionConflict) -> None:
        viewer = signed_in("view_sessionconflict", "change_sessionconflict", "view_pii")

        content = page(viewer, conflict)
        assert 'action="/admin/legacy_adapters/sessionconflict' not in content
        assert "lacks the permission to decide" in content
        refused = viewer.post(f"{CONFLICTS}{conflict.pk}/resolve/", {"decision": "keep"})
        assert refused.status_code == 403
        several = {"action": "keep_ours", "_selected_action": [conflict.pk], "confirmed": "yes"}
        several |= {"reason": "Mine", f"shown-{conflict.pk}": f"1:{conflict.digest}"}
        viewer.post(CONFLICTS, several)
        conflict.refresh_from_db()
        assert conflict.state == "open"

    def test_those_who_may_not_look_see_nothing(self, conflict: SessionConflict) -> None:
        stranger = signed_in("resolve_conflicts", "view_unifiedsession")

        for url in (CONFLICTS, f"{CONFLICTS}{conflict.pk}/change/"):
            assert stranger.get(url).status_code == 403
        assert stranger.post(f"{CONFLICTS}{conflict.pk}/resolve/").status_code == 403
        assert Client().get(CONFLICTS).status_code == 302

    def test_a_decision_needs_the_form_of_this_site(self, conflict: SessionConflict) -> None:
        user = User.objects.create_superuser("root")
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(user)

        url = f"{CONFLICTS}{conflict.pk}/resolve/"
        assert strict.post(url, {"decision": "keep", "reason": "x"}).status_code == 403
        chosen = {"action": "keep_ours", "_selected_action": conflict.pk, "confirmed": "yes"}
        assert strict.post(CONFLICTS, {**chosen, "reason": "x"}).status_code == 403
        run, blob = a_run(), a_blob("broken")
        assert strict.post(f"{RUNS}{run.pk}/act/pause/").status_code == 403
        assert strict.post(f"{BLOBS}{blob.pk}/delete/", {"post": "yes"}).status_code == 403

    @pytest.mark.parametrize(("name", "permission"), LISTS.items())
    def test_each_list_needs_its_own_permission(self, name: str, permission: str) -> None:
        others = [each for each in LISTS.values() if each != permission]
        url = f"/admin/legacy_adapters/{name}/"

        assert signed_in(permission).get(url).status_code == 200
        assert signed_in(*others).get(url).status_code == 403
        assert signed_in(permission).get(f"{url}add/").status_code == 403


class TestBackfills:
    def test_a_run_and_its_findings(self) -> None:
        run = a_run()
        viewer = signed_in("view_backfillrun")

        listed = said(viewer.get(RUNS))
        content = said(viewer.get(f"{RUNS}{run.pk}/change/"))

        assert "30,000 of 60,000" in listed
        assert re.search(r"50\s%", listed)
        assert "ws_1_bad" in content
        assert "email is missing" in content
        assert "Pause" not in content

    def test_pausing_and_going_on(self) -> None:
        run = a_run()
        client = signed_in("view_backfillrun", "change_backfillrun")
        url = f"{RUNS}{run.pk}/act/"

        assert client.get(f"{url}pause/").status_code == 405
        assert "Paused" in said(client.post(f"{url}pause/", follow=True))
        run.refresh_from_db()
        assert run.state == "paused"
        assert "goes on" in said(client.post(f"{url}go-on/", follow=True))
        run.refresh_from_db()
        assert run.state == "running"
        assert client.post(f"{url}abandon/").status_code == 404

    def test_a_run_that_is_over_stays_so(self) -> None:
        run = a_run(state="finished")
        client = signed_in("view_backfillrun", "change_backfillrun")

        answered = client.post(f"{RUNS}{run.pk}/act/go-on/", follow=True)

        assert "Nothing to do" in said(answered)
        run.refresh_from_db()
        assert run.state == "finished"

    def test_looking_is_not_pausing(self) -> None:
        run = a_run()

        assert signed_in("view_backfillrun").post(f"{RUNS}{run.pk}/act/pause/").status_code == 403


class TestOddities:
    def test_a_blobs_text_is_personal(self) -> None:
        blob = a_blob("<script>Canaryfirst 117041394")

        masked = said(signed_in("view_keptblob").get(f"{BLOBS}{blob.pk}/change/"))
        shown = said(signed_in("view_keptblob", "view_pii").get(f"{BLOBS}{blob.pk}/change/"))

        assert not [each for each in CANARIES if each in masked]
        assert "Personal data is masked" in masked
        assert "&lt;script&gt;Canaryfirst 117041394" in shown
        listed = said(signed_in("view_keptblob", "view_pii").get(BLOBS))
        assert "JSON ends early" in listed
        assert "Canaryfirst" not in listed

    @pytest.mark.usefixtures("conflict")
    def test_whatever_stores_and_browsers_say_is_text(self) -> None:
        bad = '"><script>alert(1)</script>'
        some_oddities()
        KeptBlob.objects.update(reason=bad)
        RefusedToken.objects.update(source=bad)
        BackfillRun.objects.update(problem=bad, actor=bad)
        BackfillFinding.objects.update(record_id=bad, detail=bad)
        note = {"rule": bad, "blocks": True, "unified": bad, "legacy": {bad: [bad]}}
        fields = ["email", "status", bad]
        SessionConflict.objects.update(
            fields=fields,
            evidence=[{"field": field, **note} for field in fields],
            reason=bad,
            resolved_by=bad,
        )
        SessionConflict.objects.exclude(session_id=ID).update(state="kept")
        client = signed_in(*LISTS.values(), "view_pii", "resolve_conflicts", "change_backfillrun")
        pages = [f"/admin/legacy_adapters/{name}/" for name in LISTS]
        pages += [f"{CONFLICTS}?state=all"]
        for url, model in ((CONFLICTS, SessionConflict), (RUNS, BackfillRun), (BLOBS, KeptBlob)):
            pages += [f"{url}{pk}/change/" for pk in model.objects.values_list("pk", flat=True)]

        answers = [client.get(url) for url in pages]

        assert [each.status_code for each in answers] == [200] * len(pages)
        assert not [each for each in answers if b"<script>alert" in each.content]
        assert sum(b"&lt;script&gt;alert" in each.content for each in answers) >= 6

    def test_the_list_of_blobs_does_not_load_them(self) -> None:
        a_blob("broken")

        with CaptureQueriesContext(connection) as queries:
            signed_in("view_keptblob").get(BLOBS)

        column = '"legacy_adapters_keptblob"."text"'
        loaded = [each["sql"].replace(f"LENGTH({column})", "") for each in queries]
        assert not [sql for sql in loaded if column in sql]

    def test_a_large_blob_is_cut(self) -> None:
        blob = a_blob("x" * 150_000)

        shown = said(signed_in("view_keptblob", "view_pii").get(f"{BLOBS}{blob.pk}/change/"))

        assert "and 50,000 characters more" in shown
        assert re.search(r"146\.\d\sKB", shown)

    def test_a_blob_can_be_deleted_by_those_who_may(self) -> None:
        blob = a_blob("broken")
        url = f"{BLOBS}{blob.pk}/delete/"

        assert signed_in("view_keptblob").post(url, {"post": "yes"}).status_code == 403
        signed_in("view_keptblob", "delete_keptblob").post(url, {"post": "yes"})
        assert not KeptBlob.objects.exists()

    def test_refused_tokens_and_records_are_found_by_session(self) -> None:
        some_oddities()
        client = signed_in("view_refusedtoken", "view_importrecord")

        for name in ("refusedtoken", "importrecord"):
            url = f"/admin/legacy_adapters/{name}/"
            assert "ws_1_c" in said(client.get(f"{url}?q=ws_1_c"))
            assert "ws_1_c" not in said(client.get(f"{url}?q=ws_1_d")).split("result_list")[-1]

    @pytest.mark.parametrize("name", LISTS)
    def test_lists_ask_no_more_for_more_rows(self, name: str) -> None:
        client = signed_in(*LISTS.values())
        url = f"/admin/legacy_adapters/{name}/?state=all" if "conflict" in name else None

        def count() -> int:
            with CaptureQueriesContext(connection) as queries:
                client.get(url or f"/admin/legacy_adapters/{name}/")
            return len(queries)

        some_oddities()
        few = count()
        for number in range(10):
            some_oddities(suffix=f"{number}", state="finished")
        assert count() == few <= 8


def a_run(*, state: str = "running") -> BackfillRun:
    """Put a run that has read half of its store in ten minutes."""
    now = get_clock().now()
    run = BackfillRun.objects.create(
        source="database",
        state=state,
        batch_size=500,
        total=60_000,
        actor="ada",
        created_at=now - timedelta(minutes=11),
        started_at=now - timedelta(minutes=10),
        finished_at=now if state == "finished" else None,
    )
    bounds = [None, "ws_mw_5", None]
    for number in range(2):
        lower, upper = (each and encode_key(each) for each in bounds[number : number + 2])
        BackfillSlice.objects.create(
            run=run,
            lower=lower,
            upper=upper,
            cursor=encode_key(f"ws_mw{number}_3abc"),
            is_finished=number == 0,
            claimed_by="host-1" if number else "",
            imported=14_000,
            unchanged=500,
            merged=480,
            conflicting=12,
            unreadable=8,
            masked=3,
            updated_at=now,
        )
    for kind, record_id, detail in (
        ("unreadable", "ws_1_bad", "email is missing"),
        ("unreadable", None, "id is missing"),
        ("conflicting", "ws_mwo5wwds_2", "email, customer, amount"),
        ("masked", "ws_mwo5wwds_k39d0a", "customer_info"),
    ):
        BackfillFinding.objects.create(run=run, kind=kind, record_id=record_id, detail=detail)
    return run


def a_blob(text: str, suffix: str = "") -> KeptBlob:
    now = get_clock().now()
    return KeptBlob.objects.create(
        source="local_storage",
        digest=f"{'ab12' * 15}{suffix:>4}",
        text=text,
        reason="The JSON ends early, after 1,203 characters",
        times=3,
        first_seen_at=now - timedelta(days=2),
        last_seen_at=now - timedelta(minutes=4),
    )


def some_oddities(suffix: str = "", state: str = "running") -> None:
    """Put one of everything that the lists show."""
    now = get_clock().now()
    a_run(state=state)
    a_blob('{"ws_1_c": {"id": "ws_1_c", "email": "ana@exa', suffix)
    session_id = f"ws_1_c{suffix}"
    RefusedToken.objects.create(
        source="cookie",
        secret="9f86d081884c7d65",
        session_id=session_id,
        times=7,
        first_seen_at=now - timedelta(hours=9),
        last_seen_at=now - timedelta(minutes=2),
    )
    ImportRecord.objects.create(
        source="database",
        session_id=session_id,
        digest="5e88" * 16,
        unified_version=0 if suffix else 4,
        imported_at=now - timedelta(hours=3),
    )
    SessionConflict.objects.create(
        source="database",
        session_id=session_id,
        digest="5e88" * 16,
        fields=["email", "status", "current_step", "products", "amount"],
        blocks=not suffix,
        state="open" if not suffix else "kept",
        seen_at=now - timedelta(minutes=50),
    )


@pytest.mark.django_db(transaction=True)
def test_an_operator_decides_on_a_conflict(page: Page, own_admin: str, shot: Shot) -> None:
    conflict = a_conflict()
    some_oddities()
    try:
        page.goto(f"{own_admin}/legacy_adapters/")
        shot("migration-index")
        page.get_by_role("link", name="Conflicts").first.click()
        expect(page.locator("#result_list tbody tr")).to_have_count(2)
        shot("conflicts")
        page.locator("#result_list tbody a", has_text="just now").click()
        expect(page.get_by_role("heading", name="Field by field")).to_be_visible()
        shot("conflict")
        page.locator("tr", has=page.get_by_role("rowheader", name="email")).get_by_label(
            "Take theirs"
        ).check()
        page.get_by_role("button", name="Keep ours").click()
        expect(page.get_by_role("alert")).to_contain_text("choose none to keep ours")
        shot("conflict-refused")
        page.get_by_label("Reason").fill("The shopper wrote to us")
        page.get_by_role("button", name="Take the chosen").click()
        expect(page.locator(".messagelist")).to_contain_text("taken from the legacy record: email")
        shot("conflict-taken")
        for name in LISTS:
            page.goto(f"{own_admin}/legacy_adapters/{name}/")
            shot(f"migration-{name}")
        page.goto(f"{own_admin}/legacy_adapters/keptblob/{KeptBlob.objects.get().pk}/change/")
        shot("blob")
        page.goto(f"{own_admin}/legacy_adapters/backfillrun/{BackfillRun.objects.get().pk}/change/")
        shot("backfill")
        page.goto(f"{own_admin}/legacy_adapters/sessionconflict/")
        page.locator("#action-toggle").check()
        page.get_by_label("Action:").select_option("Keep ours")
        page.get_by_role("button", name="Go").click()
        expect(page.get_by_role("heading", name="Keep ours?")).to_be_visible()
        shot("conflicts-keep")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE funnel_sessions")
    conflict.refresh_from_db()
    assert (conflict.state, conflict.resolved_by) == ("taken", "ada")
