"""The keys: a token opened by each, what is encrypted at rest, a one-time link redeemed."""

from __future__ import annotations

from collections import Counter
from typing import Final

from django.db import transaction

from sessions_unified import ids, links, resealing, sealing
from sessions_unified.conf import get_conf
from sessions_unified.doctor.findings import Check, Finding, Stopwatch, failed, ok, warned
from sessions_unified.monitoring.key_check import check_token_keys

_ROTATE: Final = "See docs/howto/rotate-token-keys.md."
_SAMPLE: Final = 200


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


def _sealed() -> Finding:
    watch = Stopwatch()
    kinds: Counter[str] = Counter()
    missing: Counter[str] = Counter()
    for place in resealing.places():
        newest = place.rows.reverse().values_list(*place.names)[:_SAMPLE]
        for text in (each for row in newest for each in row if each is not None):
            kind = resealing.judge(text)
            kinds[kind] += 1
            if kind == "unreadable":
                missing[sealing.kid_of(text) or "none"] += 1
    ms, total = watch.ms, kinds.total()
    if missing:
        kids = ", ".join(map(repr, sorted(missing)))
        return failed(
            f"{missing.total():,} of {total:,} sampled values cannot be opened (keys {kids})",
            "Put those keys back into ENCRYPTION_KEYS, at the end, and run manage.py reseal.",
            "keys-missing",
            ms=ms,
        )
    if kinds["old"]:
        return warned(
            f"{kinds['old']:,} of {total:,} sampled values are not under the first key",
            "Run manage.py reseal.",
            "keys-missing",
            ms=ms,
        )
    return ok(f"{total:,} sampled, all under the first key" if total else "none yet", ms=ms)


CHECKS: Final = [
    Check(name="tokens", look=_tokens, advice=_ROTATE, runbook="keys-missing"),
    Check(
        name="encryption at rest",
        look=_sealed,
        advice="See docs/howto/rotate-keys.md.",
        runbook="keys-missing",
        needs="database",
    ),
    Check(
        name="one-time links",
        look=_links,
        advice="The database refuses to write links: mend that first.",
        runbook="database-read-only",
        needs="database",
    ),
]
