"""How values look in the admin: badges, moments, money, and what is shown only as present."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast

from django.contrib.admin.utils import quote
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe
from django.utils.timesince import timesince, timeuntil

from sessions_unified import expiry
from sessions_unified.flow import STATUSES
from sessions_unified.money import quantize

if TYPE_CHECKING:
    from decimal import Decimal

    from django.utils.safestring import SafeString

    from sessions_unified.models import UnifiedSession
    from sessions_unified.snapshot import SessionSnapshot

NOTHING: Final = "–"  # noqa: RUF001  (an en dash, as typesetters do)
SESSION_PAGE: Final = "admin:sessions_unified_unifiedsession_change"
_JUST_NOW_SECONDS: Final = 60
_ENVELOPE: Final = (
    *("firstName", "lastName", "phone", "address"),
    *("line1", "line2", "city", "state", "zip", "country"),
)


def badge(status: str) -> SafeString:
    """Return a status as a coloured badge; its text says it too."""
    return coloured(status if status in STATUSES else "other", status)


def coloured(look: str, text: str) -> SafeString:
    """Return a badge in the colour of ``look``: a status, or ``other``."""
    return format_html('<span class="su-badge su-{}">{}</span>', look, text)


def marks(row: UnifiedSession) -> list[SafeString]:
    """Return what is unusual about a row: held, deleted."""
    found = []
    if row.holds:
        text = "held" if row.holds == 1 else f"held × {row.holds}"  # noqa: RUF001
        title = "Open charges: it may not be expired, purged or deleted."
        found.append(_mark("held", text, title))
    if row.deleted_at is not None:
        title = f"Deleted {absolute(row.deleted_at)}; only this tombstone is left."
        found.append(_mark("deleted", "deleted", title))
    return found


def _mark(kind: str, text: str, title: str) -> SafeString:
    return format_html('<span class="su-mark su-{}" title="{}">{}</span>', kind, title, text)


def ends_at(row: UnifiedSession) -> datetime:
    """Return when the session really ends, its flushed touches counted."""
    # The row has the fields that the rule reads; making a snapshot would load all of it.
    return expiry.effective_deadline(cast("SessionSnapshot", row), row.last_seen_at)


def relative(moment: datetime, now: datetime) -> str:
    """Return ``in 5 minutes``, ``3 hours ago``."""
    if abs((moment - now).total_seconds()) < _JUST_NOW_SECONDS:
        return "in less than a minute" if moment > now else "just now"
    if moment > now:
        return f"in {timeuntil(moment, now, depth=1)}"
    return f"{timesince(moment, now, depth=1)} ago"


def absolute(moment: datetime) -> str:
    """Return the moment in UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def when(moment: datetime | None, now: datetime) -> SafeString | str:
    """Return the moment relative to ``now``, absolute in its title."""
    if moment is None:
        return NOTHING
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        moment.isoformat(),
        absolute(moment),
        relative(moment, now),
    )


def labelled(label: str, moment: datetime, now: datetime) -> SafeString:
    """Return ``used 3 hours ago``."""
    return format_html("{} {}", label, when(moment, now))


def money(amount: Decimal | None, currency: str) -> str:
    """Return ``1,234.50 USD``."""
    return NOTHING if amount is None else f"{quantize(amount, currency):,} {currency}"


def presence(value: object) -> str:
    """Return whether there is one, of what is never shown."""
    return "present" if value else NOTHING


def words(name: str) -> str:
    """Return ``first name`` of ``firstName`` and ``charge started`` of ``charge_started``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ").strip().lower()


def facts(value: Any, path: str = "") -> list[tuple[str, str]]:
    """Return JSON as (label, text) pairs, nested objects flattened."""
    if isinstance(value, dict):
        items = sorted(value.items(), key=_rank)
        return [pair for name, item in items for pair in facts(item, _join(path, name))]
    if isinstance(value, list | tuple) and any(isinstance(each, dict) for each in value):
        numbered = enumerate(value, start=1)
        return [pair for number, item in numbered for pair in facts(item, _join(path, str(number)))]
    return [(path.capitalize(), _plain(value))]


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(_plain(item) for item in value) or NOTHING
    return NOTHING if value is None or value == "" else str(value)


def _rank(item: tuple[str, Any]) -> int:
    """Return a field's place: a person's in the order of an envelope, others after, as given."""
    return _ENVELOPE.index(item[0]) if item[0] in _ENVELOPE else len(_ENVELOPE)


def _join(path: str, name: str) -> str:
    return f"{path} · {words(name)}" if path else words(name)


def session_url(session_id: str) -> str:
    """Return the address of a session's page."""
    return reverse(SESSION_PAGE, args=[quote(session_id)])


def identifier(session_id: str) -> SafeString:
    """Return an id that may be wrapped after an underscore, and is copied whole."""
    parts = format_html_join(mark_safe("_<wbr>"), "{}", ((each,) for each in session_id.split("_")))
    return format_html('<span class="su-id" title="{}">{}</span>', session_id, parts)


def session_link(session_id: str) -> SafeString:
    """Return a link to a session's page."""
    return format_html('<a href="{}">{}</a>', session_url(session_id), identifier(session_id))
