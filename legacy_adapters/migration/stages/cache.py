"""What this process knows of the stages: for reads. A write looks them up again.

A thread keeps it fresh (`following`). While that is not to be had, requests look for themselves.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

from django.core.signals import setting_changed

from legacy_adapters.migration.conf import get_conf
from legacy_adapters.migration.stages import store
from legacy_adapters.migration.stages.following import Follower, stop_at_exit
from sessions_unified.exceptions import TierUnavailableError

if TYPE_CHECKING:
    from legacy_adapters.migration.stages.view import StageView
    from sessions_unified.tiers import Tiers


class StageCache:
    """The last stages seen, looked up again every ``STAGE_CACHE_SECONDS``; zero: at each read."""

    def __init__(self) -> None:
        self.follower = Follower(self)
        self._know_nothing()

    def _know_nothing(self) -> None:
        self._view: StageView | None = None
        self._read_at = 0.0
        self._refreshing = threading.Lock()

    def view(self, tiers: Tiers) -> StageView:
        """Return the stages, as old as `STAGE_CACHE_SECONDS`; older while they cannot be read.

        Raises:
            DatabaseUnavailableError: they have never been read in this process, and cannot be now.

        """
        view = self._view
        if view is None:
            view = self.refresh(tiers)
            self.follower.start(tiers)
            return view
        is_fresh = time.monotonic() - self._read_at < get_conf().STAGE_CACHE_SECONDS
        if is_fresh or self.follower.is_well:
            return view
        self.follower.start(tiers)
        if self._refreshing.acquire(blocking=False):
            try:
                return self.refresh(tiers)
            except TierUnavailableError:
                self._read_at = time.monotonic()  # not at each read
            finally:
                self._refreshing.release()
        return view

    @property
    def epoch(self) -> int:
        """The last stage change that this process knows of, without looking; 0: none."""
        return 0 if self._view is None else self._view.epoch

    def refresh(self, tiers: Tiers) -> StageView:
        """Look them up now.

        Raises:
            DatabaseUnavailableError: they cannot be read.

        """
        began = time.monotonic()
        view = store.read(tiers.database)
        known = self._view
        if known is not None and view.epoch < known.epoch:
            return known  # a slower thread's, of before
        self._view, self._read_at = view, began
        return view

    def forget(self) -> None:
        """Know nothing again, and follow nothing: between tests."""
        self.follower.stop()
        self._know_nothing()

    def start_afresh(self) -> None:
        """Begin anew in a child after fork: the thread stayed with the parent."""
        self.follower.start_afresh()
        self._know_nothing()


STAGES = StageCache()
"""This process's."""

stop_at_exit(STAGES.follower)


def _forget(*, setting: str, **_: object) -> None:
    if setting in {"SESSIONS_UNIFIED", "DATABASES", "MIGRATION"}:
        STAGES.forget()


setting_changed.connect(_forget, dispatch_uid="legacy_adapters.migration.stages")
os.register_at_fork(after_in_child=STAGES.start_afresh)
