"""The merge itself: a pure function of the candidates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from legacy_adapters.merging.candidates import Conflict, Merged
from legacy_adapters.merging.copies import Copies, values_of
from legacy_adapters.merging.rules import RULES
from legacy_adapters.stores import Store
from sessions_unified.snapshot import SessionSnapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from legacy_adapters.merging.candidates import Candidate
    from legacy_adapters.merging.rule import Rule

BROWSER: Final = "browser"
"""The rule of every conflict with a browser: its word is compared, and never copied."""


def merge(candidates: Iterable[Candidate]) -> Merged:
    """Return the one session that the candidates, all of one id, describe together.

    The order of the candidates does not matter, nor does one given twice; merging the result as
    our own row with the same candidates gives it again. A result that ``is_blocked`` must not be
    written: where nothing decides, it has the most trusted value.

    Raises:
        ValueError: the candidates are none, or of several ids.

    """
    copies = Copies.of(candidates)
    said = {field: rule.value(copies) for field, rule in RULES.items()}
    conflicts = (*_contradictions(copies), *_claims(copies, said))
    return Merged(session=SessionSnapshot(**said), conflicts=conflicts)


def _contradictions(copies: Copies) -> Iterator[Conflict]:
    """Yield the fields on which trusted copies contradict each other."""
    for field, rule in RULES.items():
        met = rule.contradiction
        if met is not None and met.is_met(copies):
            values = {
                store: value for store, value in values_of(copies.trusted, field).items() if value
            }
            yield Conflict(field=field, rule=rule.name, values=values, blocks=met.blocks(copies))


def _claims(copies: Copies, said: dict[str, Any]) -> Iterator[Conflict]:
    """Yield the fields in which a browser contradicts what the session will say."""
    for field, rule in RULES.items():
        for browser in copies.browsers:
            claimed = getattr(browser.session, field)
            if _is_claim(rule, claimed, said[field]):
                values = {_known_by(copies): said[field], Store.LOCAL_STORAGE: claimed}
                yield Conflict(field=field, rule=BROWSER, values=values, blocks=False)
                break


def _is_claim(rule: Rule, claimed: Any, known: Any) -> bool:
    return rule.claims is not None and rule.claims(claimed, known)


def _known_by(copies: Copies) -> Store:
    return copies.trusted[0].store if copies.trusted else Store.UNIFIED
