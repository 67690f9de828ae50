"""Having sessions repaired from the admin: each on its own, so that one cannot stop the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from legacy_adapters.exceptions import LegacyAdaptersError
from legacy_adapters.migration.repair.copying import repair
from legacy_adapters.migration.repair.working import again
from sessions_unified.exceptions import SessionHeldError, TierUnavailableError
from sessions_unified.tiers import get_tiers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_UNAVAILABLE = "A database did not answer. Nothing was changed; try again when it is back."
_HELD = "It was deleted in the legacy store while a charge is open here."


def repair_each(session_ids: Iterable[str]) -> tuple[set[str], dict[str, str]]:
    """Repair each now; return those whose sides agree, and why others' do not."""
    tiers = get_tiers()
    done: set[str] = set()
    problems: dict[str, str] = {}
    for session_id in session_ids:
        try:
            repair(tiers, session_id)
        except TierUnavailableError:
            problems[session_id] = _UNAVAILABLE
        except SessionHeldError:
            problems[session_id] = _HELD
        except LegacyAdaptersError as exc:
            problems[session_id] = str(exc)
        else:
            done.add(session_id)
    return done, problems


def try_again(session_ids: Sequence[str]) -> None:
    """Put sessions that were given up back, for the workers."""
    again(get_tiers(), session_ids)
