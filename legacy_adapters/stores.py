"""The stores that hold copies of one session, in the order in which they are believed."""

from __future__ import annotations

from enum import StrEnum


class Store(StrEnum):
    """Where a copy comes from; the order of the members is the order of trust."""

    UNIFIED = "unified"
    """Our own row, whose payments are backed by charge attempts."""
    DATABASE = "database"
    COOKIE = "cookie"
    """Signed by the old shop, so its facts are the shop's."""
    MEMORY_CACHE = "memory_cache"
    COPY = "copy"
    """Our own row that nobody has changed here since its import: only a copy of the others."""
    LOCAL_STORAGE = "local_storage"
    """A browser's word: compared, and never believed against the others."""

    @property
    def rank(self) -> int:
        """0 for the most trusted."""
        return _RANKS[self]

    @property
    def is_trusted(self) -> bool:
        """Whether its facts are the shop's own."""
        return self is not Store.LOCAL_STORAGE


_RANKS = {store: rank for rank, store in enumerate(Store)}
