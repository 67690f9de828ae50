"""The core in Django's admin: sessions for inspection, the event log, service keys, links.

Nothing here edits a row: what staff do to a session goes through the manager, as everywhere. A
site adds to a session's page by subclassing `UnifiedSessionAdmin` (``acts``, ``panels``).
"""

from sessions_unified.admin.acts import Act, Outcome, Target
from sessions_unified.admin.base import ReadOnlyAdmin
from sessions_unified.admin.events import SessionEventAdmin
from sessions_unified.admin.keys import ServiceKeyAdmin
from sessions_unified.admin.links import SessionLinkAdmin
from sessions_unified.admin.page import Panel
from sessions_unified.admin.sessions import UnifiedSessionAdmin

__all__ = [
    "Act",
    "Outcome",
    "Panel",
    "ReadOnlyAdmin",
    "ServiceKeyAdmin",
    "SessionEventAdmin",
    "SessionLinkAdmin",
    "Target",
    "UnifiedSessionAdmin",
]
