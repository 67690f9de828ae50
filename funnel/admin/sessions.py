"""A session's page with its money, and links that bring its shopper back."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from django.conf import settings

from funnel.admin.statements import money_context
from sessions_unified import admin as core
from sessions_unified.exceptions import SessionExpiredError
from sessions_unified.links import create_link

if TYPE_CHECKING:
    from django.http import HttpRequest

    from sessions_unified.admin.page import SessionPage
    from sessions_unified.manager import UnifiedSessionManager

_LINKS_AT_ONCE = 20


def _make_link(manager: UnifiedSessionManager, target: core.Target) -> core.Outcome:
    text = "One-time link made"
    try:
        manager.get_session(target.id, fresh=True)
    except SessionExpiredError:
        text = "One-time link made, but the session is over: its shopper can only start again"
    secret = create_link(target.id, actor=manager.actor)
    url = f"{settings.SITE_URL.rstrip('/')}/s/{secret}"
    return core.Outcome(session_id=target.id, result="done", text=text, secret=url)


LINK = core.Act(
    name="link",
    label="Make a one-time link",
    permission="change",
    explanation="Whoever opens the link first is this session's shopper, with the stored card. "
    "Send it to the customer alone.",
    run=_make_link,
    limit=_LINKS_AT_ONCE,
)


class FunnelSessionAdmin(core.UnifiedSessionAdmin):
    """A session with its money, and links that bring its shopper back."""

    acts: ClassVar = (*core.UnifiedSessionAdmin.acts[:3], LINK, *core.UnifiedSessionAdmin.acts[3:])

    def panels(self, request: HttpRequest, page: SessionPage) -> list[core.Panel]:
        """Add the money, for those who may see charges."""
        if not request.user.has_perm("funnel.view_chargeattempt"):
            return []
        context = money_context(request.user, page.row.pk)
        template = "admin/funnel/charges.html"
        return [core.Panel(title="Charges and refunds", template=template, context=context)]
