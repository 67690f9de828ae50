"""Expiry and purge in batches: SKIP LOCKED, an event each, money-aware.

Used by the beat tasks, ``cleanup_sessions``, imports, and reads that meet a session past its end.
Rules 6 and 8 of `manager`: unpaid → ``expired``, paid → ``completed``/``success``, held →
untouched.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import connections, transaction

from sessions_unified.conf import Conf, get_conf
from sessions_unified.flow import get_flow
from sessions_unified.models import UnifiedSession
from sessions_unified.publishing import publish_gone
from sessions_unified.signals import session_deleted
from sessions_unified.tiers.rows import BLANK, EVENTS, SESSIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sessions_unified.tiers import Tiers

_DUE: Final = (
    "deleted_at IS NULL AND status NOT IN ('completed', 'expired') AND holds = 0 "
    "AND expires_at <= %(now)s AND ({alive}) IS NOT TRUE"
)


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


def expire_due(
    tiers: Tiers,
    *,
    batch_size: int = 500,
    only: Iterable[str] | None = None,
    actor: str = "system",
    now: datetime | None = None,
) -> int:
    """Settle one batch of sessions past their end; return how many.

    ``now`` is for who has flushed the touches: the time before the flush, so that no touch that
    counts is still pending.

    Rows that another cleaner or a shopper has locked are left to the next batch; with ``only``
    (ids) they are waited for. Two cleaners at once never settle the same session.
    """
    conf, end = get_conf(), get_flow().end
    now = now or tiers.clock.now()
    condition, params = due_condition(conf)
    params |= {
        "now": now,
        "batch": batch_size,
        "end_status": end.status,
        "end_step": end.step,
        "receipt_until": now + timedelta(seconds=conf.RECEIPT_LIMIT_SECONDS),
        "actor": actor,
        "only": None if only is None else list(only),
    }
    sql = _settling_sql(condition, only=only is not None)
    return _run_batch(tiers, sql, params)


def _settling_sql(condition: str, *, only: bool) -> str:
    """Return the one statement that settles a batch and logs it."""
    ids = "AND id = ANY(%(only)s)" if only else ""
    skip = "" if only else "SKIP LOCKED"
    return f"""
        WITH due AS (
            SELECT id, status, current_step FROM {SESSIONS} WHERE {condition} {ids}
            ORDER BY expires_at LIMIT %(batch)s FOR UPDATE {skip}
        ), changed AS (
            UPDATE {SESSIONS} AS s SET
                status = CASE WHEN s.transaction_id IS NULL THEN 'expired' ELSE %(end_status)s END,
                current_step = CASE WHEN s.transaction_id IS NULL THEN s.current_step
                                    ELSE %(end_step)s END,
                expires_at = CASE WHEN s.transaction_id IS NULL THEN s.expires_at
                                  ELSE %(receipt_until)s END,
                payment_token = NULL, version = s.version + 1, updated_at = %(now)s
            FROM due WHERE s.id = due.id
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
        ) SELECT id, version FROM changed
    """


def count_due(tiers: Tiers) -> int:
    """Return how many sessions `expire_due` would settle by now."""
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


def purge_finished(tiers: Tiers, *, batch_size: int = 500, actor: str = "system") -> int:
    """Replace one batch of sessions past the retention period by tombstones; return how many."""
    params = _purge_params(tiers) | {"batch": batch_size, "actor": actor}
    sql = f"""
        WITH due AS (
            SELECT id FROM {SESSIONS} WHERE {_PURGEABLE}
            ORDER BY updated_at LIMIT %(batch)s FOR UPDATE SKIP LOCKED
        ), changed AS (
            UPDATE {SESSIONS} AS s SET {BLANK}, deleted_at = %(now)s, updated_at = %(now)s,
                version = s.version + 1
            FROM due WHERE s.id = due.id RETURNING s.id, s.version
        ), logged AS (
            INSERT INTO {EVENTS} (session_id, seq, kind, changed, data, actor, at)
            SELECT id, version, 'session_purged', '[]'::jsonb, '{{}}'::jsonb, %(actor)s, %(now)s
            FROM changed
        ) SELECT id, version FROM changed
    """
    return _run_batch(tiers, sql, params, deleted=True)


def count_purgeable(tiers: Tiers) -> int:
    """Return how many sessions `purge_finished` would replace by now."""
    sql = f"SELECT count(*) FROM {SESSIONS} WHERE {_PURGEABLE}"
    return _count(tiers, sql, _purge_params(tiers))


def drop_old_events(tiers: Tiers, *, batch_size: int = 5000) -> int:
    """Drop one batch of events of purged sessions past their own retention; return how many."""
    before: datetime = tiers.clock.now() - timedelta(days=get_conf().EVENT_RETENTION_DAYS)
    sql = f"""
        DELETE FROM {EVENTS} WHERE position IN (
            SELECT e.position FROM {EVENTS} e JOIN {SESSIONS} s ON s.id = e.session_id
            WHERE s.deleted_at <= %(before)s AND e.at <= %(before)s LIMIT %(batch)s
            FOR UPDATE OF e SKIP LOCKED
        )
    """
    alias = tiers.database.alias
    with tiers.database.transaction(), connections[alias].cursor() as cursor:
        # The log's trigger refuses every other DELETE (migration 0002).
        cursor.execute("SET LOCAL sessions_unified.purging = 'on'")
        cursor.execute(sql, {"before": before, "batch": batch_size})
        dropped: int = cursor.rowcount
    return dropped


def _run_batch(tiers: Tiers, sql: str, params: dict[str, Any], *, deleted: bool = False) -> int:
    alias = tiers.database.alias
    with tiers.database.transaction(), connections[alias].cursor() as cursor:
        cursor.execute(sql, params)
        changed = dict(cursor.fetchall())
        if deleted and changed:
            session_deleted.send(sender=UnifiedSession, session_ids=list(changed))
        transaction.on_commit(lambda: publish_gone(tiers, changed), using=alias)
    return len(changed)


def _count(tiers: Tiers, sql: str, params: dict[str, Any]) -> int:
    with connections[tiers.database.alias].cursor() as cursor:
        cursor.execute(sql, params)
        (number,) = cursor.fetchone()
    return int(number)
