"""What a rule of a merge is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from legacy_adapters.merging.copies import Copies


@dataclass(frozen=True, kw_only=True)
class Contradiction:
    """How a rule tells that trusted copies contradict each other.

    Attributes:
        is_met: whether they do.
        blocks: whether nothing decides it, so that a person must.
        text: what comes of it, for the docs' table.

    """

    is_met: Callable[[Copies], bool]
    blocks: Callable[[Copies], bool]
    text: str


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What becomes of one field.

    Attributes:
        name: what conflicts call it.
        text: what it does, in a line; the docs' table shows it.
        value: the field's value out of all copies.
        contradiction: when trusted copies contradict each other; None: they never do, the rule
            takes one of their values as a matter of course.
        claims: whether a browser's value contradicts the session's; None: it is not compared.

    """

    name: str
    text: str
    value: Callable[[Copies], Any]
    contradiction: Contradiction | None = None
    claims: Callable[[Any, Any], bool] | None = None
