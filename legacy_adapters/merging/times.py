"""When a session began, last changed, and ends; and at which version it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from legacy_adapters.fields.writing import milliseconds
from sessions_unified.expiry import absolute_limit
from sessions_unified.flow import COMPLETED

if TYPE_CHECKING:
    from datetime import datetime

    from legacy_adapters.merging.copies import Copies


def created_at(copies: Copies) -> datetime:
    """Return the earliest birth."""
    return min(each.session.created_at for each in copies.believed)


def updated_at(copies: Copies) -> datetime:
    """Return the latest change."""
    return max(each.session.updated_at for each in copies.believed)


def expires_at(copies: Copies) -> datetime:
    """Return the latest end, within the absolute limit.

    Our own row keeps a later one: staff set it past the limit, or it is a receipt's.
    """
    latest = max(each.session.expires_at for each in copies.believed)
    within = min(latest, absolute_limit(created_at(copies)))
    own = copies.own.session if copies.own else None
    if own is None:
        return within
    is_later = own.status == COMPLETED or own.expires_at > absolute_limit(own.created_at)
    return max(within, own.expires_at) if is_later else within


def version(copies: Copies) -> int:
    """Return our own row's version; 1 where there is none yet."""
    return copies.own.session.version if copies.own else 1


def claims_birth(claimed: datetime, known: datetime) -> bool:
    """Tell whether a browser names another birth; it counts in milliseconds."""
    return milliseconds(claimed) != milliseconds(known)
