"""Everything the session core raises: one tree, whose docstrings are the default messages."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from sessions_unified.snapshot import SessionSnapshot


class SessionsUnifiedError(Exception):
    """The session store could not do what was asked."""

    code: ClassVar[str] = "session_error"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or inspect.cleandoc(type(self).__doc__ or ""))


class SessionNotFoundError(SessionsUnifiedError):
    """There is no such session. Start a new one."""

    code = "session_not_found"


class SessionExpiredError(SessionsUnifiedError):
    """This session has expired. Start a new one with the same products."""

    code = "session_expired"

    def __init__(
        self, message: str | None = None, *, session: SessionSnapshot | None = None
    ) -> None:
        super().__init__(message)
        self.session = session


class VersionConflictError(SessionsUnifiedError):
    """The session has changed since that version. Read it again and repeat the change."""

    code = "version_conflict"


class InvalidTransitionError(SessionsUnifiedError):
    """The flow does not allow this move from the session's present step."""

    code = "invalid_transition"


class SessionHeldError(SessionsUnifiedError):
    """A charge of this session is not settled yet. Try again when it is."""

    code = "session_held"


class InvalidChangeError(SessionsUnifiedError):
    """A field of the change is unknown or has a value of the wrong kind."""

    code = "invalid_change"

    def __init__(self, message: str | None = None, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class PricingError(InvalidChangeError):
    """A product cannot be sold as asked."""

    code = "invalid_products"


class CardDataError(InvalidChangeError):
    """This holds what looks like card data. Leave it out: cards go into the payment form alone."""

    code = "card_data_refused"


class SealedValueError(SessionsUnifiedError):
    """What is encrypted at rest cannot be opened. Put its key back into ENCRYPTION_KEYS."""

    code = "sealed_value"


class InvalidTokenError(SessionsUnifiedError):
    """The session token is missing, malformed, expired or signed with an unknown key."""

    code = "invalid_token"


class InvalidLinkError(SessionsUnifiedError):
    """This link has been used already or is too old. Ask the shop for a new one."""

    code = "invalid_link"


class TierUnavailableError(SessionsUnifiedError):
    """A tier did not answer in time."""

    code = "tier_unavailable"


class DatabaseUnavailableError(TierUnavailableError):
    """The database did not answer. Read the session again before you repeat a change."""

    code = "database_unavailable"
