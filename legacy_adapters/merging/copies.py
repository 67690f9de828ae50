"""All copies of one session that go into a merge, in one order whatever order they came in."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Self

import msgspec

from legacy_adapters.stores import Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from legacy_adapters.merging.candidates import Candidate

_canonical = msgspec.json.Encoder(decimal_format="number", order="deterministic")


@dataclass(frozen=True, kw_only=True)
class Copies:
    """The candidates of a merge, the most trusted first.

    Attributes:
        trusted: those whose facts are the shop's own.
        browsers: what browsers say.

    """

    trusted: tuple[Candidate, ...]
    browsers: tuple[Candidate, ...]

    @classmethod
    def of(cls, candidates: Iterable[Candidate]) -> Self:
        """Return them in order.

        Raises:
            ValueError: there is none, or they are not of one session.

        """
        ordered = tuple(_in_order(candidates))
        if len({candidate.session.id for candidate in ordered}) != 1:
            message = "A merge takes candidates of one session: one id, at least one candidate."
            raise ValueError(message)
        return cls(
            trusted=tuple(each for each in ordered if each.store.is_trusted),
            browsers=tuple(each for each in ordered if not each.store.is_trusted),
        )

    @property
    def believed(self) -> tuple[Candidate, ...]:
        """The trusted ones; where there are none, the browsers'."""
        return self.trusted or self.browsers

    @property
    def own(self) -> Candidate | None:
        """Our own row, if it is one of them."""
        ours = (each for each in self.trusted if each.store in {Store.UNIFIED, Store.COPY})
        return next(ours, None)

    def saying(self, field: str) -> tuple[Candidate, ...]:
        """Return the trusted ones that have a value in ``field``.

        A copy of the others is left out where the database has its word: it is then an older
        state of the same, and contradicts nobody.
        """
        found = [each for each in self.trusted if getattr(each.session, field)]
        if any(each.store is Store.DATABASE for each in found):
            found = [each for each in found if each.store is not Store.COPY]
        return tuple(found)


def _in_order(candidates: Iterable[Candidate]) -> Iterator[Candidate]:
    """Yield the candidates by trust; several of one store by what they say, equal ones once."""
    by_trust = sorted(candidates, key=lambda each: each.store.rank)
    for _, group in groupby(by_trust, key=lambda each: each.store):
        same = list(group)
        if len(same) == 1:
            yield same[0]
            continue
        found = {_canonical.encode(each.session): each for each in same}
        yield from (found[key] for key in sorted(found))


def values_of(candidates: Iterable[Candidate], field: str) -> dict[Store, Any]:
    """Return what each store says in ``field``; of several of one store, the first."""
    said: dict[Store, Any] = {}
    for each in candidates:
        said.setdefault(each.store, getattr(each.session, field))
    return said
