"""The keys: a token issued and opened by each, a one-time link made and redeemed."""

from __future__ import annotations

from typing import Final

from django.db import transaction

from sessions_unified import ids, links
from sessions_unified.conf import get_conf
from sessions_unified.doctor.findings import Check, Finding, Stopwatch, ok, warned
from sessions_unified.monitoring.key_check import check_token_keys

_ROTATE: Final = "See docs/howto/rotate-token-keys.md."


def _tokens() -> Finding:
    keys = get_conf().TOKEN_KEYS
    if not keys:
        return warned(
            "TOKEN_KEYS is empty: no token can be issued", "Give one key at least.", "keys-missing"
        )
    watch = Stopwatch()
    check_token_keys()
    opens = "it alone opens" if len(keys) == 1 else f"{len(keys)} open"
    return ok(f"key {next(iter(keys))!r} issues, {opens}", ms=watch.ms)


def _links() -> Finding:
    watch = Stopwatch()
    session_id = ids.mint_session_id(0)
    alias = get_conf().DATABASE_ALIAS
    with transaction.atomic(using=alias):
        redeemed = links.redeem_link(links.create_link(session_id, actor="doctor"))
        transaction.set_rollback(True, using=alias)
    if redeemed != session_id:
        raise ValueError("A link leads to another session than it was made for.")
    return ok("made and redeemed, and undone", ms=watch.ms)


CHECKS: Final = [
    Check(name="tokens", look=_tokens, advice=_ROTATE, runbook="keys-missing"),
    Check(
        name="one-time links",
        look=_links,
        advice="The database refuses to write links: mend that first.",
        runbook="database-read-only",
        needs="database",
    ),
]
