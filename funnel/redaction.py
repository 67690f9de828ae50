"""What logs must not say: a one-time link's secret, which is part of its address; card numbers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from sessions_unified.card_data import is_number, is_secret_name, mask_numbers

if TYPE_CHECKING:
    from structlog.typing import EventDict, WrappedLogger

_CARD: Final = "[card number]"
_HIDDEN: Final = "[card data]"
_DEEPEST: Final = 8
# A duration: "succeeded in 0.4111111111111111s". Microseconds are enough of any number.
_LONG_FRACTION: Final = re.compile(r"(?<=\d\.\d{6})\d+")
_LINK: Final = re.compile(r"/s/[^\s/?]+")


def redact_links(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """Replace the secret in a logged request line or message; a structlog processor."""
    for field in ("request", "event"):
        text = event.get(field)
        if isinstance(text, str):
            event[field] = _LINK.sub("/s/[redacted]", text)
    return event


def redact_cards(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """Replace card numbers, and what is named like a card's secret, in all that is logged.

    A structlog processor; the last one, so that tracebacks are text already.
    """
    for field, value in event.items():
        event[field] = _member(field, value, 0)
    return event


def _member(name: str, value: Any, depth: int) -> Any:
    is_secret = value is not None and is_secret_name(name, value)
    return _HIDDEN if is_secret else _without_cards(value, depth)


def _without_cards(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return mask_numbers(_LONG_FRACTION.sub("", value), _CARD)
    if isinstance(value, int | float):
        return _CARD if is_number(value) else value
    if isinstance(value, dict) and depth < _DEEPEST:
        return {
            _without_cards(name, depth): _member(str(name), item, depth + 1)
            for name, item in value.items()
        }
    if isinstance(value, list) and depth < _DEEPEST:
        return [_without_cards(item, depth + 1) for item in value]
    text = repr(value)  # as it will be rendered
    masked = mask_numbers(text, _CARD)
    return value if masked == text else masked
