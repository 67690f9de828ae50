"""The merge itself: a pure function of the candidates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from legacy_adapters.merging.candidates import Candidate, Merged

if TYPE_CHECKING:
    from collections.abc import Iterable


def merge(candidates: Iterable[Candidate]) -> Merged:
    """Return the one session that the candidates, all of one id, describe together."""
    raise NotImplementedError
