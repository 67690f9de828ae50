"""What should move all the time and may have stopped: the relay, expiry, the flush of touches."""

from __future__ import annotations

from typing import Final

from sessions_unified import event_log
from sessions_unified.doctor.findings import Check, Finding, Stopwatch, failed, ok, warned
from sessions_unified.models import LogCursor
from sessions_unified.monitoring import vitals
from sessions_unified.tiers import get_tiers
from sessions_unified.upkeep.load import HOLD, LOCKS

_RELAY_WARN_SECONDS: Final = 10
_RELAY_FAIL_SECONDS: Final = 60
# Beat flushes and settles several times a minute.
_LATE_SECONDS: Final = 300


def _relay() -> Finding:
    tiers = get_tiers()
    watch = Stopwatch()
    with vitals.short_statements(tiers.database.alias):
        lags = vitals.relay_lags(tiers)
        ran = set(LogCursor.objects.using(tiers.database.alias).values_list("consumer", flat=True))
        holder = event_log.held_back_by()
    ms = watch.ms
    never = sorted(set(lags) - ran)
    if never:
        return warned(f"never ran: {', '.join(never)}", "Start the relay.", "relay-lagging", ms=ms)
    if not lags:
        return ok("nobody follows the event log", ms=ms)
    name, lag = max(lags.items(), key=lambda each: each[1].seconds)
    text = f"{name} is {lag.seconds:.1f} s and {lag.events:,} events behind"
    if lag.seconds < _RELAY_WARN_SECONDS:
        return ok(text, ms=ms)
    advice, runbook = "Is the relay running? Its log says what it waits for.", "relay-lagging"
    if holder is not None and (holder.seconds or 0) >= _RELAY_WARN_SECONDS:
        text += f"; held back by {_who(holder)}"
        advice, runbook = "End that transaction, if it is stuck.", "relay-held-back"
    judge = failed if lag.seconds >= _RELAY_FAIL_SECONDS else warned
    return judge(text, advice, runbook, ms=ms)


def _who(holder: event_log.Holder) -> str:
    name = f" ({holder.name})" if holder.name else ""
    if holder.pid is None:
        return f"a prepared transaction{name}, {holder.seconds:,.0f} s old"
    return f"process {holder.pid}{name}, writing for {holder.seconds:,.0f} s"


def _expiry() -> Finding:
    tiers = get_tiers()
    watch = Stopwatch()
    with vitals.short_statements(tiers.database.alias):
        due = vitals.expiry_backlog(tiers)
    if due.oldest_seconds < _LATE_SECONDS:
        return ok(_backlog(due, "past their end"), ms=watch.ms)
    return warned(
        _backlog(due, "past their end"),
        "Are beat and a worker running? Or run manage.py cleanup_sessions. Shoppers are refused "
        "an expired session anyway.",
        "expiry-backlog-growing",
        ms=watch.ms,
    )


_HOLDER: Final = """
SELECT activity.pid, application_name, extract(epoch FROM now() - xact_start)::float
  FROM pg_locks JOIN pg_stat_activity AS activity USING (pid)
 WHERE locktype = 'advisory' AND granted AND (classid, objid, objsubid) = (%s, %s, 2)
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def _hold() -> Finding:
    watch = Stopwatch()
    with vitals.short_statements(get_tiers().database.alias) as cursor:
        cursor.execute(_HOLDER, [LOCKS, HOLD])
        holder = cursor.fetchone()
    if holder is None:
        return ok("not on hold", ms=watch.ms)
    pid, name, seconds = holder
    who = f"process {pid}" + (f" ({name})" if name else "")
    since = f" for {seconds:,.0f} s" if seconds is not None else ""
    return warned(
        f"cleaning is on hold by {who} of PostgreSQL{since}",
        "Is that meant? It ends with its cleanup_sessions --hold, or by "
        f"SELECT pg_terminate_backend({pid}).",
        "expiry-backlog-growing",
        ms=watch.ms,
    )


def _touches() -> Finding:
    tiers = get_tiers()
    if tiers.redis is None:
        return ok("written at once: there is no Redis")
    watch = Stopwatch()
    pending = vitals.pending_touches(tiers.redis, tiers.clock.now())
    if pending.oldest_seconds < _LATE_SECONDS:
        return ok(_backlog(pending, "pending"), ms=watch.ms)
    return warned(
        _backlog(pending, "pending"),
        "Are beat and a worker running? Until then, losing Redis forgets these shoppers' activity.",
        "touches-not-flushed",
        ms=watch.ms,
    )


def _backlog(found: vitals.Backlog, what: str) -> str:
    at_least = "at least " if found.number >= vitals.COUNT_LIMIT else ""
    oldest = f", the oldest for {found.oldest_seconds:,.0f} s" if found.number else ""
    return f"{at_least}{found.number:,} {what}{oldest}"


CHECKS: Final = [
    Check(
        name="relay",
        look=_relay,
        advice="The event log could not be read in time.",
        runbook="relay-lagging",
        needs="database",
    ),
    Check(
        name="expiry",
        look=_expiry,
        advice="The sessions that are due could not be counted in time.",
        runbook="expiry-backlog-growing",
        needs="database",
    ),
    Check(
        name="cleaning",
        look=_hold,
        advice="The locks of the database could not be read in time.",
        runbook="expiry-backlog-growing",
        needs="database",
    ),
    Check(
        name="touches",
        look=_touches,
        advice="Redis did not say what is pending.",
        runbook="touches-not-flushed",
        needs="redis",
    ),
]
