"""What logs must not say: a one-time link's secret is part of its address."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from structlog.typing import EventDict, WrappedLogger

_LINK: Final = re.compile(r"/s/[^\s/?]+")


def redact_links(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """Replace the secret in a logged request line or message; a structlog processor."""
    for field in ("request", "event"):
        text = event.get(field)
        if isinstance(text, str):
            event[field] = _LINK.sub("/s/[redacted]", text)
    return event
