"""Encrypting again, under the first key, what is encrypted at rest: after a key was added.

The values stay what they are, so versions do not change and there are no events. Copies in Redis
stay under the older key until they end, after ``STALENESS_BOUND_SECONDS``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from django.apps import apps
from django.db import router, transaction
from django.db.models import Q

from sessions_unified import sealing
from sessions_unified.conf import get_conf
from sessions_unified.exceptions import SealedValueError
from sessions_unified.models import UnifiedSession

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from django.db.models import Model, QuerySet

BATCH_SIZE: Final = 500
_PASSES: Final = 3

Kind = Literal["current", "old", "unreadable"]


@dataclass(frozen=True, kw_only=True)
class Place:
    """A table with sealed columns.

    Attributes:
        alias: its database.
        names: the columns.

    """

    model: type[Model]
    alias: str
    names: tuple[str, ...]

    @property
    def rows(self) -> QuerySet[Any]:
        """The rows with anything in those columns, in the order of their keys."""
        filled = Q(*((f"{name}__isnull", False) for name in self.names), _connector=Q.OR)
        return self.model._base_manager.using(self.alias).filter(filled).order_by("pk")  # noqa: SLF001  (Django's documented Model._base_manager)


@dataclass(kw_only=True)
class Report:
    """What became of the values of all rows that were looked at.

    Attributes:
        resealed: those that are under the first key now; in a dry run: that would be.
        current: those that were already.
        unreadable: kid → those whose key is missing, or that were tampered with; left as they are.
        skipped: rows that somebody else was writing all the time; run it again.

    """

    resealed: int = 0
    current: int = 0
    unreadable: Counter[str] = field(default_factory=Counter)
    skipped: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return it for scripts."""
        return {
            "resealed": self.resealed,
            "current": self.current,
            "unreadable": dict(self.unreadable),
            "skipped": self.skipped,
        }


def places() -> list[Place]:
    """Return every table with sealed columns, of all installed apps."""
    alias = get_conf().DATABASE_ALIAS
    found = [Place(model=UnifiedSession, alias=alias, names=sealing.COLUMNS)]
    for model in apps.get_models():
        names = tuple(
            each.attname
            for each in model._meta.concrete_fields  # noqa: SLF001  (Django's documented Model._meta)
            if isinstance(each, sealing.SealedTextField)
        )
        if names:
            found.append(Place(model=model, alias=router.db_for_write(model), names=names))
    return found


def judge(text: str) -> Kind:
    """Tell how a stored value is encrypted; what is not at all is old."""
    if sealing.is_current(text):
        return "current" if _opens(text) else "unreadable"
    return "old" if _opens(text) else "unreadable"


def _opens(text: str) -> bool:
    try:
        sealing.unseal(text)
    except SealedValueError:
        return False
    return True


def reseal(
    *,
    batch_size: int = BATCH_SIZE,
    is_dry_run: bool = False,
    advance: Callable[[int], None] = lambda _: None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Report:
    """Encrypt all values under the first key, in short transactions; repeating it is harmless.

    Rows that others are writing are passed over and tried again at the end. ``advance`` is told
    how many rows a batch had.
    """
    report = Report()
    for place in places():
        held: list[Any] = []
        for rows in _batches(place, batch_size):
            if is_stopped():
                return report
            held += _batch(place, rows, report, is_dry_run=is_dry_run)
            advance(len(rows))
        for _ in range(_PASSES):
            held = _write(place, held, report) if held else []
        report.skipped += len(held)
    return report


def count() -> int:
    """Return the number of rows to look at."""
    return sum(place.rows.count() for place in places())


def _batches(place: Place, size: int) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the rows as ``(key, value, …)``, by their keys; short statements without a lock."""
    rows = place.rows.values_list("pk", *place.names)
    found = list(rows[:size])
    while found:
        yield found
        found = list(rows.filter(pk__gt=found[-1][0])[:size])


def _batch(
    place: Place, rows: Sequence[tuple[Any, ...]], report: Report, *, is_dry_run: bool
) -> list[Any]:
    """Count a batch and write what is old; return the keys of rows that others hold."""
    due = []
    for key, *values in rows:
        kinds = [(judge(text), text) for text in values if text is not None]
        report.current += sum(kind == "current" for kind, _ in kinds)
        report.unreadable.update(
            sealing.kid_of(text) or "none" for kind, text in kinds if kind == "unreadable"
        )
        old = sum(kind == "old" for kind, _ in kinds)
        report.resealed += old if is_dry_run else 0
        due += [key] if old else []
    return [] if is_dry_run or not due else _write(place, due, report)


def _write(place: Place, keys: Sequence[Any], report: Report) -> list[Any]:
    """Write rows that nobody holds, in one transaction; return the keys of the others."""
    with transaction.atomic(using=place.alias):
        rows = place.model._base_manager.using(place.alias).filter(pk__in=keys)  # noqa: SLF001  (as above)
        locked = rows.order_by("pk").select_for_update(skip_locked=True)
        found = list(locked.values_list("pk", *place.names))
        for key, *values in found:
            changes = {
                name: sealing.Sealed(sealing.seal(sealing.unseal(text)))
                for name, text in zip(place.names, values, strict=True)
                if text is not None and judge(text) == "old"
            }
            if changes:
                rows.filter(pk=key).update(**changes)
                report.resealed += len(changes)
    gone_or_done = {key for key, *_ in found}
    left = [key for key in keys if key not in gone_or_done]
    return list(rows.filter(pk__in=left).values_list("pk", flat=True)) if left else []
