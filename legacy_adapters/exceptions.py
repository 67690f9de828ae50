"""Everything the adapters raise: one tree, whose docstrings are the default messages."""

from __future__ import annotations

import inspect


class LegacyAdaptersError(Exception):
    """The legacy sessions could not be handled as asked."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or inspect.cleandoc(type(self).__doc__ or ""))


class UnknownSourceError(LegacyAdaptersError):
    """There is no such legacy store. Name a key of the setting LEGACY_ADAPTERS."""


class SourceUnavailableError(LegacyAdaptersError):
    """The legacy store did not answer. Nothing was changed; try again when it is back."""


class UnreadableRecordError(LegacyAdaptersError):
    """The legacy record cannot become a session.

    Attributes:
        reason: which part of it is missing or invalid; no personal data.

    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UnwritableRecordError(LegacyAdaptersError):
    """The legacy store cannot hold what the session says.

    Attributes:
        reason: which part of it; no personal data.

    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UnsupportedOperationError(LegacyAdaptersError):
    """This legacy store has no such operation. See its `supports_…` flags."""


class OpenRunError(LegacyAdaptersError):
    """A backfill of this store is not over. Go on with it, or abandon it first."""


class LegacyTokenError(LegacyAdaptersError):
    """The old shop's token is refused.

    Attributes:
        code: why, in one word: ``expired``, ``compromised``, ``signature``, …

    """

    def __init__(self, code: str, message: str | None = None) -> None:
        super().__init__(message or f"The old shop's token is refused: {code}.")
        self.code = code


class CompromisedTokenError(LegacyTokenError):
    """The token is signed with a secret that is known to be out: anybody may have made it.

    Attributes:
        secret: the secret's fingerprint.
        session_id: whose token it claims to be; None without a session's id.

    """

    def __init__(self, secret: str, session_id: str | None) -> None:
        super().__init__("compromised")
        self.secret = secret
        self.session_id = session_id


class TooManyEntriesError(LegacyAdaptersError):
    """The browser holds more sessions than a browser ever does."""


class ResolutionRefusedError(LegacyAdaptersError):
    """The conflict cannot be resolved so. Look at it again."""
