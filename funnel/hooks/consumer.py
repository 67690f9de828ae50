"""The consumer of the event log that writes down what each target must be told."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from funnel.conf import get_conf
from funnel.hooks.announcing import event_id, facts_of, types_of
from funnel.hooks.models import HookDelivery
from sessions_unified.clock import get_clock
from sessions_unified.relay import Consumer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sessions_unified.event_log import Entry

_BEGINS_SECONDS_AGO: Final = 60


class HookConsumer(Consumer):
    """Turns events into deliveries, one for each target; a worker sends them.

    A delivery is committed with the cursor, and its id comes from the event: whatever is handled
    twice is written once.
    """

    name: ClassVar[str] = "hooks"

    @property
    def history_seconds(self) -> float:
        """A new one begins now, not with years of orders that were handed on by other means."""
        return _BEGINS_SECONDS_AGO

    def handle(self, entries: Sequence[Entry]) -> None:
        """Write the deliveries of these events, in one statement."""
        rows = list(self._rows(entries))
        if rows:
            HookDelivery.objects.bulk_create(rows, ignore_conflicts=True)

    def _rows(self, entries: Sequence[Entry]) -> Iterator[HookDelivery]:
        # Names alone: a target whose settings are wrong must not hold the log back.
        names, now = list(get_conf().HOOKS), get_clock().now()
        for entry in entries:
            for kind in types_of(entry):
                for name in names:
                    yield HookDelivery(
                        target=name,
                        event_id=event_id(entry, kind),
                        type=kind,
                        session_id=entry.session_id,
                        seq=entry.seq,
                        facts=facts_of(entry),
                        next_try_at=now,
                        occurred_at=entry.at,
                        created_at=now,
                    )
