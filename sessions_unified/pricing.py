"""What the core asks the site about prices: the setting ``PRICER``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from django.utils.module_loading import import_string

from sessions_unified.conf import get_conf

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from decimal import Decimal


class Priced(NamedTuple):
    """An order as the site prices it: lines of ``{id, name, price, quantity}``, and the total."""

    lines: Sequence[Mapping[str, Any]]
    amount: Decimal
    currency: str


class Pricer(Protocol):
    """The callable that ``PRICER`` names."""

    def __call__(self, products: Sequence[Mapping[str, Any]]) -> Priced:
        """Price ``[{id, quantity}, …]``.

        Raises:
            PricingError: naming the product that cannot be sold so.

        """


def get_pricer() -> Pricer | None:
    """Return the site's pricer; None where it has none and the API refuses products."""
    path = get_conf().PRICER
    if path is None:
        return None
    pricer: Pricer = import_string(path)
    return pricer
