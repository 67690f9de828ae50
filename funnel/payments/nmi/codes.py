"""NMI's response codes: which of them say for sure that no money moved."""

from __future__ import annotations

import re
from typing import Final

APPROVED: Final = "100"
RATE_LIMITED: Final = "301"

# The gateway or the merchant's set-up refused: nothing reached a bank. Not among them: 301, which
# counts only together with its text, and what leaves it open whether a bank has charged: 400
# (processor error), 420 and 421 (communication error), 430 (the processor had the sale already).
REFUSED: Final = frozenset({"300", "410", "411", "440", "441", "460", "461"})

_DECLINED: Final = re.compile(r"2[0-9]{2}")
_DUPLICATE: Final = re.compile(r"duplicate", re.IGNORECASE)
_DOUBTFUL: Final = re.compile(
    r"duplicate|time[d -]*out|communication|unavailable|in progress|pending", re.IGNORECASE
)
_LIMIT: Final = re.compile(r"rate.?limit|too many|limit exceeded", re.IGNORECASE)


def is_decline(code: str) -> bool:
    """Tell whether a code is of a bank's "no"; NMI adds to the documented ones."""
    return _DECLINED.fullmatch(code) is not None


def is_duplicate(text: str) -> bool:
    """Tell whether a text is NMI's "Duplicate transaction", whose REFID names nothing of ours."""
    return _DUPLICATE.search(text) is not None


def is_refusal(code: str, text: str) -> bool:
    """Tell whether a code and its text say that nothing was executed."""
    if not text or _DOUBTFUL.search(text):
        return False
    if code == RATE_LIMITED:
        return _LIMIT.search(text) is not None
    return code in REFUSED
