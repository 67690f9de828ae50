"""Expiry and purge in batches: SKIP LOCKED, an event each, money-aware.

Used by the beat tasks, ``cleanup_sessions``, imports, and reads that meet a session past its end.
Rules 6 and 8 of `manager`: unpaid → ``expired``, paid → ``completed``/``success``, held →
untouched.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.db import transaction

from sessions_unified.conf import Conf, get_conf
from sessions_unified.flow import get_flow
from sessions_unified.models import UnifiedSession
from sessions_unified.publishing import publish_gone
from sessions_unified.signals import session_deleted, sessions_swept
from sessions_unified.tiers.rows import BLANK, EVENTS, SESSIONS

if TYPE_CHECKING:
    from collections.abc import Collection

    from django.dispatch import Signal

    from sessions_unified.tiers import Tiers

_DUE: Final = (
    "deleted_at IS NULL AND status NOT IN ('completed', 'expired') AND holds = 0 "
    "AND expires_at <= %(now)s AND ({alive}) IS NOT TRUE"
)


# What no touch can keep alive: steps without an idle limit, and the absolute limit.
_BEYOND_TOUCHES: Final = (
    "(current_step <> ALL(%(idle_steps)s) OR created_at + %(absolute)s <= %(now)s)"
)

# A batch finds its rows in the order of an index, locks them, and changes them by their places
# (ctid): half the time of finding them again by id. A row that changed while it was being locked
# has another place by then, and is left to the next batch.
_REPORT: Final = "SELECT (SELECT count(*) FROM changed), count(*), max(mark) FROM due"
_NAMED: Final = f"SELECT report.*, ARRAY(SELECT id FROM changed) FROM ({_REPORT}) AS report"


def due_condition(conf: Conf) -> tuple[str, dict[str, Any]]:
    """Return the SQL that finds sessions past their effective deadline, and its parameters.

    The same rule as `expiry.effective_deadline`: a touch slides the idle limit of some steps,
    never past the absolute one.
    """
    params: dict[str, Any] = {"absolute": timedelta(seconds=conf.ABSOLUTE_LIMIT_SECONDS)}
    cases = ["FALSE"]
    for position, (step, seconds) in enumerate(conf.IDLE_LIMIT_SECONDS.items()):
        params[f"step_{position}"] = step
        params[f"idle_{position}"] = timedelta(seconds=seconds)
        cases.append(
            f"(current_step = %(step_{position})s AND created_at + %(absolute)s > %(now)s "
            f"AND last_seen_at + %(idle_{position})s > %(now)s)"
        )
    return _DUE.format(alive=" OR ".join(cases)), params


class Batch(NamedTuple):
    """What one batch did.

    Attributes:
        done: rows changed.
        found: rows that it took; as many as it might: there may be more.
        ended_at: where in its index it ended; None if it found nothing.

    """

    done: int
    found: int
    ended_at: datetime | None


def expire_due(tiers: Tiers, *, only: Collection[str], actor: str = "system") -> int:
    """Settle those of these sessions (ids) that are past their end; return how many.

    Rows that another has locked are waited for, and the caches are told.
    """
    condition, params = due_condition(get_conf())
    params |= _settling_params(tiers.clock.now(), actor) | {"size": len(only), "only": list(only)}
    sql = _settling_sql(f"{condition} AND id = ANY(%(only)s)", skips_locked=False)
    with tiers.database.transaction():
        changed = dict(tiers.database.query(f"{sql} SELECT id, version FROM changed", params))
        if changed:
            sessions_swept.send(sender=UnifiedSession, session_ids=list(changed))
        transaction.on_commit(lambda: publish_gone(tiers, changed), using=tiers.database.alias)
    return len(changed)


def settle_batch(
    tiers: Tiers,
    *,
    size: int,
    now: datetime,
    actor: str = "system",
    start: datetime | None = None,
    spares_idle: bool = False,
) -> Batch:
    """Settle a batch of sessions past their end, from ``start`` on in the order of their ends.

    ``now`` is the time before the touches were flushed, so that none that counts is still pending;
    ``spares_idle`` leaves those that an unknown touch might keep alive. Rows that another cleaner
    or a shopper has locked are left to the next batch: two at once never settle the same session.

    The caches are not told: a copy past its end is never served (`reading` asks the row), and the
    relay drops it within seconds.
    """
    condition, params = due_condition(get_conf())
    if spares_idle:
        condition += f" AND {_BEYOND_TOUCHES}"
        params["idle_steps"] = list(get_conf().IDLE_LIMIT_SECONDS)
    if start is not None:
        condition += " AND expires_at >= %(start)s"
    params |= _settling_params(now, actor) | {"size": size, "start": start}
    return _run(tiers, _settling_sql(condition, skips_locked=True), params, sessions_swept)


def _run(tiers: Tiers, sql: str, params: dict[str, Any], *signals: Signal) -> Batch:
    """Run a batch, in one transaction with those who want to know what it changed."""
    heard = [each for each in signals if each.has_listeners(UnifiedSession)]
    if not heard:
        ((done, found, ended_at),) = tiers.database.query(f"{sql} {_REPORT}", params)
        return Batch(done, found, ended_at)
    with tiers.database.transaction():
        ((done, found, ended_at, ids),) = tiers.database.query(f"{sql} {_NAMED}", params)
        for signal in heard if ids else ():
            signal.send(sender=UnifiedSession, session_ids=ids)
    return Batch(done, found, ended_at)


def _settling_params(now: datetime, actor: str) -> dict[str, Any]:
    end = get_flow().end
    return {
        "now": now,
        "end_status": end.status,
        "end_step": end.step,
        "receipt_until": now + timedelta(seconds=get_conf().RECEIPT_LIMIT_SECONDS),
        "actor": actor,
    }


def _settling_sql(condition: str, *, skips_locked: bool) -> str:
    """Return the common table expressions that settle a batch and log it."""
    skip, key = ("SKIP LOCKED", "ctid") if skips_locked else ("", "id")
    return f"""
        WITH due AS MATERIALIZED (
            SELECT {key} AS key, status, current_step, expires_at AS mark
            FROM {SESSIONS} WHERE {condition}
            ORDER BY expires_at LIMIT %(size)s FOR UPDATE {skip}
        ), changed AS (
            UPDATE {SESSIONS} AS s SET
                status = CASE WHEN s.transaction_id IS NULL THEN 'expired' ELSE %(end_status)s END,
                current_step = CASE WHEN s.transaction_id IS NULL THEN s.current_step
                                    ELSE %(end_step)s END,
                expires_at = CASE WHEN s.transaction_id IS NULL THEN s.expires_at
                                  ELSE %(receipt_until)s END,
                payment_token = NULL, version = s.version + 1, updated_at = %(now)s
            FROM due WHERE s.{key} = due.key
            RETURNING s.id, s.version, s.status, s.current_step,
                      due.status AS old_status, due.current_step AS old_step
        ), logged AS (
            INSERT INTO {EVENTS} (session_id, seq, kind, changed, data, actor, at)
            SELECT id, version,
                   CASE WHEN status = 'expired' THEN 'session_expired' ELSE 'session_completed' END,
                   CASE WHEN status = 'expired' THEN '["status"]'::jsonb
                        ELSE '["current_step", "expires_at", "status"]'::jsonb END,
                   jsonb_build_object('status', jsonb_build_array(old_status, status))
                   || CASE WHEN old_step = current_step THEN '{{}}'::jsonb
                           ELSE jsonb_build_object(
                               'step', jsonb_build_array(old_step, current_step)) END,
                   %(actor)s, %(now)s
            FROM changed
        )
    """


def count_due(tiers: Tiers) -> int:
    """Return how many sessions are past their end by now."""
    condition, params = due_condition(get_conf())
    params["now"] = tiers.clock.now()
    sql = f"SELECT count(*) FROM {SESSIONS} WHERE {condition}"
    return _count(tiers, sql, params)


_PURGEABLE: Final = (
    "deleted_at IS NULL AND status IN ('completed', 'expired') AND holds = 0 "
    "AND updated_at <= %(before)s AND expires_at <= %(now)s"
)


def _purge_params(tiers: Tiers) -> dict[str, Any]:
    now = tiers.clock.now()
    return {"now": now, "before": now - timedelta(days=get_conf().RETENTION_DAYS)}


def purge_batch(
    tiers: Tiers, *, size: int, actor: str = "system", start: datetime | None = None
) -> Batch:
    """Replace a batch of sessions past the retention period by tombstones.

    From ``start`` on in the order of ``updated_at``; locked rows and caches as in settling.
    Receivers of `session_deleted` and `sessions_swept` run in its transaction.
    """
    params = _purge_params(tiers) | {"size": size, "actor": actor, "start": start}
    since = "" if start is None else "AND updated_at >= %(start)s"
    sql = f"""
        WITH due AS MATERIALIZED (
            SELECT ctid AS key, updated_at AS mark FROM {SESSIONS} WHERE {_PURGEABLE} {since}
            ORDER BY updated_at LIMIT %(size)s FOR UPDATE SKIP LOCKED
        ), changed AS (
            UPDATE {SESSIONS} AS s SET {BLANK}, deleted_at = %(now)s, updated_at = %(now)s,
                version = s.version + 1
            FROM due WHERE s.ctid = due.key RETURNING s.id, s.version
        ), logged AS (
            INSERT INTO {EVENTS} (session_id, seq, kind, changed, data, actor, at)
            SELECT id, version, 'session_purged', '[]'::jsonb, '{{}}'::jsonb, %(actor)s, %(now)s
            FROM changed
        )
    """
    return _run(tiers, sql, params, session_deleted, sessions_swept)


def count_purgeable(tiers: Tiers) -> int:
    """Return how many sessions are past the retention period by now."""
    sql = f"SELECT count(*) FROM {SESSIONS} WHERE {_PURGEABLE}"
    return _count(tiers, sql, _purge_params(tiers))


_ENDED: Final = "kind IN ('session_deleted', 'session_purged') AND at <= %(before)s"


def _events_before(tiers: Tiers) -> datetime:
    before: datetime = tiers.clock.now() - timedelta(days=get_conf().EVENT_RETENTION_DAYS)
    return before


def events_batch(tiers: Tiers, *, size: int, start: datetime | None = None) -> Batch:
    """Drop all events of sessions (``size`` of them) deleted longer ago than events are kept.

    They are found by their last event, which goes with the others: nothing is looked at twice.
    """
    since = "" if start is None else "AND at >= %(start)s"
    sql = f"""
        WITH due AS MATERIALIZED (
            SELECT session_id, at AS mark FROM {EVENTS} WHERE {_ENDED} {since}
            ORDER BY at LIMIT %(size)s FOR UPDATE SKIP LOCKED
        ), changed AS (
            DELETE FROM {EVENTS} AS e USING due WHERE e.session_id = due.session_id
            RETURNING 1
        ) {_REPORT}
    """
    params = {"before": _events_before(tiers), "size": size, "start": start}
    with tiers.database.transaction():
        # The log's trigger refuses every other DELETE (migration 0002).
        tiers.database.query("SELECT set_config('sessions_unified.purging', 'on', TRUE)")
        (report,) = tiers.database.query(sql, params)
    return Batch(*report)


def count_ended(tiers: Tiers) -> int:
    """Return of how many sessions the events may be dropped by now."""
    sql = f"SELECT count(*) FROM {EVENTS} WHERE {_ENDED}"
    return _count(tiers, sql, {"before": _events_before(tiers)})


def _count(tiers: Tiers, sql: str, params: dict[str, Any]) -> int:
    ((number,),) = tiers.database.query(sql, params)
    return int(number)
