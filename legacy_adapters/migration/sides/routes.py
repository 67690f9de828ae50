"""Who used what in the old shop: each endpoint's legacy stores, in its order.

The ``database`` is written with every change besides: the flow's step lives nowhere else that the
server can read, and every page asks for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from legacy_adapters.migration.stages.names import Endpoint
from legacy_adapters.stores import Store


@dataclass(frozen=True, kw_only=True)
class Route:
    """The legacy stores of an endpoint.

    Attributes:
        reads: the kinds of stores that it read, in its order.
        writes: those that it wrote.

    """

    reads: tuple[Store, ...]
    writes: tuple[Store, ...]


_TABLE: Final = Route(reads=(Store.DATABASE,), writes=(Store.DATABASE,))

ROUTES: Final[dict[str, Route]] = {
    Endpoint.CREATE: _TABLE,
    Endpoint.DETAIL: _TABLE,
    Endpoint.CHECKOUT: Route(
        reads=(Store.DATABASE,), writes=(Store.DATABASE, Store.COOKIE, Store.MEMORY_CACHE)
    ),
    Endpoint.UPSELL: Route(
        reads=(Store.COOKIE, Store.MEMORY_CACHE, Store.DATABASE),
        writes=(Store.COOKIE, Store.MEMORY_CACHE, Store.LOCAL_STORAGE),
    ),
    Endpoint.SYNC: Route(
        # The browser's own word proves nothing: what it may see, the others say.
        reads=(Store.LOCAL_STORAGE, Store.COOKIE, Store.MEMORY_CACHE, Store.DATABASE),
        writes=(Store.LOCAL_STORAGE,),
    ),
}


def route_of(endpoint: str) -> Route:
    """Return an endpoint's route; of what is none of them (a task, the admin): the table."""
    return ROUTES.get(endpoint, _TABLE)
