"""What is remembered of refused tokens: a count of each reason, and who forged ones claim to be."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from django.db import Error as DatabaseError
from django.db import connections, transaction

from legacy_adapters import metrics
from legacy_adapters.exceptions import CompromisedTokenError
from legacy_adapters.models import RefusedToken
from sessions_unified.clock import get_clock
from sessions_unified.conf import get_conf

if TYPE_CHECKING:
    from datetime import datetime

    from legacy_adapters.exceptions import LegacyTokenError

logger = logging.getLogger(__name__)

MAX_ROWS: Final = 10_000
"""About so many rows are kept: what is out lets anybody claim any id. Further ids share one row."""

_MOST_TIMES: Final = 2**31 - 1
_UPSERT: Final = """
    INSERT INTO {table} AS known
        (source, secret, session_id, times, first_seen_at, last_seen_at)
    VALUES (
        %(source)s, %(secret)s,
        CASE
            WHEN EXISTS (
                SELECT FROM {table}
                WHERE source = %(source)s AND secret = %(secret)s AND session_id = %(session_id)s
            ) THEN %(session_id)s
            WHEN (SELECT count(*) FROM {table}) < %(max_rows)s THEN %(session_id)s
            ELSE ''
        END,
        1, %(now)s, %(now)s
    )
    ON CONFLICT (source, secret, session_id) DO UPDATE SET
        times = least(known.times, %(most)s - 1) + 1,
        last_seen_at = greatest(known.last_seen_at, excluded.last_seen_at)
"""


def note_refused(source: str, refusal: LegacyTokenError) -> None:
    """Count a refusal; log and record one that shows a compromised secret in use.

    A record that cannot be written is logged, and nothing else: the request goes on.
    """
    metrics.LEGACY_TOKENS.labels(source=source, result=refusal.code).inc()
    if isinstance(refusal, CompromisedTokenError):
        logger.warning(
            "A token of the old shop in %r is signed with the compromised secret %s.",
            source,
            refusal.secret,
        )
        _record(source, refusal)


def _record(source: str, refusal: CompromisedTokenError) -> None:
    alias = get_conf().DATABASE_ALIAS
    connection = connections[alias]
    table = connection.ops.quote_name(RefusedToken._meta.db_table)  # noqa: SLF001  (Django's own)
    values: dict[str, str | int | datetime] = {
        "source": source[:64],
        "secret": refusal.secret,
        "session_id": refusal.session_id or "",
        "max_rows": MAX_ROWS,
        "most": _MOST_TIMES,
        "now": get_clock().now(),
    }
    try:
        # A savepoint: within somebody's transaction a failure must not be theirs.
        with transaction.atomic(using=alias), connection.cursor() as cursor:
            cursor.execute(_UPSERT.replace("{table}", table), values)
    except DatabaseError as exc:
        logger.warning("The refused token could not be recorded: %s", type(exc).__name__)
