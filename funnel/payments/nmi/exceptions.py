"""Why NMI gave no answer that counts. No message names a key, a token or a stored card."""

from __future__ import annotations

import inspect


class NmiError(Exception):
    """NMI could not be asked."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or inspect.cleandoc(type(self).__doc__ or ""))


class NmiNotSentError(NmiError):
    """NMI could not be reached, so nothing was sent. Check NMI_URL and the network."""


class NmiTimeoutError(NmiError):
    """NMI did not answer in time. It may have done what was asked: query the order id."""


class NmiDroppedError(NmiError):
    """The connection broke before NMI's answer was whole: query the order id."""


class NmiAnswerError(NmiError):
    """NMI's answer cannot be understood. Ask again later."""


class NmiQueryError(NmiError):
    """NMI answered a query by an error. Check the security key's permissions."""
