"""The throttle of calls that a browser makes by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.throttling import BaseThrottle

from legacy_adapters.api.counting import client_address, wait_seconds
from sessions_unified.api.principals import Shopper

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.views import APIView

    from legacy_adapters.local_storage import LocalStorageAdapter


class SyncThrottle(BaseThrottle):
    """A budget a minute for the address, and one for the session that the caller may see."""

    def __init__(self) -> None:
        self._seconds = 0

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Count the request, and tell whether it may go on."""
        adapter: LocalStorageAdapter = view.adapter  # type: ignore[attr-defined]  # a SyncView
        address = client_address(request.META, trusted_proxies=adapter.trusted_proxies)
        subjects = [] if address is None else [f"address {address}"]
        if isinstance(request.user, Shopper):
            subjects.append(f"session {request.user.session_id}")
        self._seconds = wait_seconds(subjects, limit=adapter.syncs_per_minute)
        return self._seconds == 0

    def wait(self) -> float:
        """Return what Retry-After says."""
        return self._seconds
