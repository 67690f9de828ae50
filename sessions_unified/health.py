"""The state of one session across the tiers, difference by difference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sessions_unified import expiry, touches
from sessions_unified.exceptions import SealedValueError, TierUnavailableError
from sessions_unified.flow import COMPLETED, EXPIRED, Position, get_flow
from sessions_unified.ids import is_session_id
from sessions_unified.snapshot import SessionSnapshot

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sessions_unified.other_copies import OtherCopy
    from sessions_unified.tiers import Copy, Tier, Tiers
    from sessions_unified.tiers.database import LockedRow


class TierReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What one tier holds of a session.

    ``differences`` names the fields in which it differs from the database; ``age_seconds`` is the
    copy's age; ``error`` says why the tier did not answer.
    """

    name: str
    is_present: bool
    version: int | None = None
    age_seconds: float | None = None
    differences: tuple[str, ...] = ()
    error: str | None = None


class SessionHealth(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The findings of `examine`; ``problems`` is empty for a healthy session."""

    id: str
    exists: bool
    is_expired: bool
    is_schema_valid: bool
    is_flow_valid: bool
    tiers_agree: bool
    problems: tuple[str, ...]
    tiers: tuple[TierReport, ...]


def examine(tiers: Tiers, session_id: str, *, others: Iterable[OtherCopy] = ()) -> SessionHealth:
    """Compare what each tier holds now. Leaves no trace in any of them.

    ``others`` are copies outside the tiers: what differs in them is named among the problems.

    Raises:
        DatabaseUnavailableError: there is nothing to compare with.

    """
    try:
        row = tiers.database.row(session_id)
    except SealedValueError as exc:
        return _unopened(session_id, exc)
    truth = row.copy.session if row is not None else None
    reports = tuple(_report(tier, session_id, truth, tiers) for tier in tiers.all)
    problems = [f"{each.name}: {text}" for each in reports for text in _complaints(each, truth)]
    is_expired = row is not None and _is_expired(row, tiers)
    schema = [] if truth is None else _schema_problems(truth)
    in_flow = truth is None or truth.status == EXPIRED or _in_flow(truth)
    if not in_flow and truth is not None:
        problems.append(f"{truth.status}/{truth.current_step} is outside the flow")
    if truth is None:
        problems.append("there is no such session")
    problems += [
        f"{each.name}: differs in {', '.join(names)}"
        for each in others
        if (names := each.differences(truth))
    ]
    return SessionHealth(
        id=session_id,
        exists=truth is not None,
        is_expired=is_expired,
        is_schema_valid=not schema,
        is_flow_valid=in_flow,
        tiers_agree=not any(_complaints(each, truth) for each in reports),
        problems=(*schema, *problems),
        tiers=reports,
    )


def _unopened(session_id: str, exc: SealedValueError) -> SessionHealth:
    """Return the findings on a session of which nobody can read what is encrypted at rest."""
    return SessionHealth(
        id=session_id,
        exists=True,
        is_expired=False,
        is_schema_valid=False,
        is_flow_valid=True,
        tiers_agree=True,
        problems=(f"database: {exc}",),
        tiers=(),
    )


def _report(tier: Tier, session_id: str, truth: SessionSnapshot | None, tiers: Tiers) -> TierReport:
    try:
        copy: Copy | None = tier.peek(session_id)
    except TierUnavailableError as exc:
        return TierReport(name=tier.name, is_present=False, error=str(exc))
    if copy is None:
        return TierReport(name=tier.name, is_present=False)
    return TierReport(
        name=tier.name,
        is_present=True,
        version=copy.session.version,
        age_seconds=max(0.0, (tiers.clock.now() - copy.true_at).total_seconds()),
        differences=() if truth is None else differences(truth, copy.session),
    )


def differences(truth: SessionSnapshot, other: SessionSnapshot) -> tuple[str, ...]:
    """Return the names of the fields in which ``other`` differs."""
    names = SessionSnapshot.__struct_fields__
    return tuple(name for name in names if getattr(truth, name) != getattr(other, name))


def _complaints(report: TierReport, truth: SessionSnapshot | None) -> list[str]:
    if report.error is not None:
        return [report.error]
    if report.is_present and truth is None:
        return ["holds a session that the database does not have"]
    if report.differences:
        return [f"differs in {', '.join(report.differences)}"]
    return []


def _is_expired(row: LockedRow, tiers: Tiers) -> bool:
    """Judge as a read does: by the touches too, and a paid session past its end is completed."""
    session = row.copy.session
    if session.status == EXPIRED:
        return True
    if session.status != COMPLETED and (row.holds or session.is_paid):
        return False
    try:
        seen = touches.last_seen(tiers, session.id, row.last_seen_at)
    except TierUnavailableError:  # reported of its tier; as far as can be told without
        seen = row.last_seen_at
    return tiers.clock.now() >= expiry.effective_deadline(session, seen)


def _in_flow(session: SessionSnapshot) -> bool:
    return Position(session.status, session.current_step) in get_flow().positions


def _schema_problems(session: SessionSnapshot) -> list[str]:
    problems = []
    if not is_session_id(session.id):
        problems.append("the id does not have the shape of a session id")
    if session.amount is not None and session.amount < 0:
        problems.append("the amount is negative")
    if session.amount is None and session.products:
        problems.append("there are products but no amount")
    return problems
