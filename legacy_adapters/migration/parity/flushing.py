"""A process's notes added to those of all others, in the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from legacy_adapters.migration.parity.tallies import COUNTS, MAPS, MOST_FINDINGS, Taken

if TYPE_CHECKING:
    from sessions_unified.tiers.database import DatabaseTier

_MINUTES: Final = "legacy_adapters_parityminute"
_FINDINGS: Final = "legacy_adapters_parityfinding"
_KEY: Final = "endpoint, stage, epoch, minute"


def _sum(name: str) -> str:
    """Return the sum of two JSON objects of counts, as SQL."""
    both = " UNION ALL ".join(
        f"SELECT * FROM jsonb_each_text({row}.{name})"  # noqa: S608  (our own names)
        for row in ("total", "excluded")
    )
    return (
        f"{name} = (SELECT COALESCE(jsonb_object_agg(key, sum), '{{}}') FROM "  # noqa: S608
        f"(SELECT key, sum(value::bigint) FROM ({both}) AS each GROUP BY key) AS sums)"
    )


# In the order of their keys, so that two processes wait for each other, and never each for the
# other.
_ADD_MINUTES: Final = (
    f"INSERT INTO {_MINUTES} AS total ({_KEY}, {', '.join((*COUNTS, *MAPS))}) "  # noqa: S608
    f"SELECT {_KEY}, {', '.join((*COUNTS, *MAPS))} FROM jsonb_to_recordset(%s::jsonb) AS t("
    "endpoint text, stage text, epoch bigint, minute timestamptz, "
    f"{', '.join(f'{name} bigint' for name in COUNTS)}, "
    f"{', '.join(f'{name} jsonb' for name in MAPS)}) ORDER BY {_KEY} "
    f"ON CONFLICT ({_KEY}) DO UPDATE SET "
    f"{', '.join(f'{name} = total.{name} + excluded.{name}' for name in COUNTS)}, "
    f"{', '.join(map(_sum, MAPS))} RETURNING 1"
)

_ADD_FINDINGS: Final = (
    f"INSERT INTO {_FINDINGS} AS found (endpoint, stage, session_id, fields, evidence, times, "  # noqa: S608
    "first_seen_at, last_seen_at) "
    "SELECT endpoint, stage, session_id, fields, evidence, times, seen_at, seen_at "
    "FROM jsonb_to_recordset(%s::jsonb) AS t(endpoint text, stage text, session_id text, "
    "fields jsonb, evidence jsonb, times int, seen_at timestamptz) ORDER BY session_id, endpoint "
    "ON CONFLICT (session_id, endpoint) DO UPDATE SET stage = excluded.stage, "
    "fields = excluded.fields, evidence = excluded.evidence, times = found.times + excluded.times, "
    "last_seen_at = GREATEST(found.last_seen_at, excluded.last_seen_at) RETURNING 1"
)
_FORGET_FINDINGS: Final = (
    f"DELETE FROM {_FINDINGS} WHERE id IN "  # noqa: S608
    f"(SELECT id FROM {_FINDINGS} ORDER BY last_seen_at DESC, id DESC OFFSET %s) RETURNING 1"
)


def write(database: DatabaseTier, taken: Taken) -> None:
    """Add to what is there; what is written leaves ``taken``, so that the rest can be kept.

    Where a commit's answer is lost the same may be added twice: these are statistics.

    Raises:
        DatabaseUnavailableError: the database did not answer.

    """
    if taken.tallies:
        database.fetch(_ADD_MINUTES, [_json(_minutes(taken))])
        taken.tallies.clear()
    if taken.findings:
        database.fetch(_ADD_FINDINGS, [_json(_findings(taken))])
        taken.findings.clear()
        database.fetch(_FORGET_FINDINGS, [MOST_FINDINGS])


def _minutes(taken: Taken) -> list[dict[str, Any]]:
    return [
        {
            **where._asdict(),
            "minute": minute,
            **{name: tally.counts[name] for name in COUNTS},
            **{name: getattr(tally, name) for name in MAPS},
        }
        for (where, minute), tally in taken.tallies.items()
    ]


def _findings(taken: Taken) -> list[dict[str, Any]]:
    return [
        {
            "endpoint": each.where.endpoint,
            "stage": each.where.stage,
            "session_id": session_id,
            "fields": each.look.fields,
            "evidence": each.look.evidence,
            "times": each.times,
            "seen_at": each.seen_at,
        }
        for (session_id, _), each in taken.findings.items()
    ]


def _json(rows: list[dict[str, Any]]) -> str:
    return msgspec.json.encode(rows).decode()
