"""Import on contact: a session that only legacy stores know comes over when it is met."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.http import HttpRequest

    from sessions_unified.snapshot import SessionSnapshot


def import_on_contact(
    session_id: str, request: HttpRequest | None = None
) -> SessionSnapshot | None:
    """Return the session of this id; import it from the legacy stores if it is not here yet.

    The stores of the server, and those of the request's browser that the server trusts, are read
    (``peek``), merged, and imported in one transaction with its conflicts. A session that is here
    is returned as it is; a tombstone stays dead. None: nobody trusted knows it, or its copies
    contradict each other and a person must decide first.

    Raises:
        SourceUnavailableError: a legacy store did not answer, so that what it knows is not known.
        DatabaseUnavailableError: ours did not.

    """
    raise NotImplementedError
