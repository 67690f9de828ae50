"""What one request may still spend waiting for Redis; rule 5 of `manager`."""

from __future__ import annotations


class Budget:
    """Seconds of waiting that are left; the managers of one request share one.

    Attributes:
        left_seconds: may go a little below zero, by what the last call took too long.

    """

    __slots__ = ("_renewed_seconds", "left_seconds")

    def __init__(self, seconds: float, *, renews: bool = False) -> None:
        """``renews``: there is no request, so every call of the manager begins anew."""
        self.left_seconds = seconds
        self._renewed_seconds = seconds if renews else None

    def begin(self) -> None:
        """Note that a call of the manager begins."""
        if self._renewed_seconds is not None:
            self.left_seconds = self._renewed_seconds
