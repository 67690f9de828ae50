"""Where the migration's own tables are: in the database of the sessions, to commit with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from django.db import transaction
from django.db.models import QuerySet

from sessions_unified.conf import get_conf

if TYPE_CHECKING:
    from django.db.models import Model
    from django.db.transaction import Atomic

    Row = TypeVar("Row", bound=Model)


def rows(model: type[Row]) -> QuerySet[Row]:
    """Return all rows of a model."""
    return QuerySet(model, using=get_conf().DATABASE_ALIAS)


def atomic(*, durable: bool = False) -> Atomic:
    """Return a transaction there; ``durable``: its end is the commit, or it is refused."""
    return transaction.atomic(using=get_conf().DATABASE_ALIAS, durable=durable)
