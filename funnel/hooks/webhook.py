"""A target behind HTTP: one signed POST, within a time, and nothing is followed or repeated."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import httpx2

from funnel.hooks import signing
from funnel.hooks.base import Result, Target
from sessions_unified.clock import get_clock
from sessions_unified.monitoring.measuring import within

if TYPE_CHECKING:
    import ssl

    from funnel.hooks.event import HookEvent

# Beyond its own time, the target's thread has this long to give up.
_GRACE_SECONDS: Final = 2
_LEASE_MARGIN_SECONDS: Final = 30
_ASKS_TO_WAIT: Final = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


@dataclass(frozen=True, kw_only=True)
class WebhookTarget(Target):
    """Posts signed events to an address.

    Attributes:
        url: where; it may hold a secret of the receiver's.
        secrets: each of them signs.
        timeout_seconds: for all of one delivery, name lookup and connection included.

    """

    url: str = field(repr=False)
    secrets: tuple[bytes, ...] = field(repr=False)
    timeout_seconds: float

    @property
    def lease_seconds(self) -> float:
        """Longer than a delivery can take."""
        return self.timeout_seconds + _LEASE_MARGIN_SECONDS

    def deliver(self, event: HookEvent) -> Result:
        """Post it once. Only 2xx is success; no byte of an answer's body is read."""
        body = event.to_json()
        headers = signing.headers(self.secrets, event_id=event.id, at=get_clock().now(), body=body)
        try:
            # In a thread of its own: a name server that hangs cannot be interrupted.
            answer = within(
                self.timeout_seconds + _GRACE_SECONDS,
                lambda: asyncio.run(self._post(body, headers)),
            )
        except TimeoutError:
            return Result(error=f"no answer within {self.timeout_seconds:g} s")
        except httpx2.TransportError as exc:
            return Result(error=f"no answer: {type(exc).__name__}")
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as exc:
            return Result(error=f"not sent: {type(exc).__name__}")
        return _judge(answer)

    async def _post(self, body: bytes, headers: dict[str, str]) -> httpx2.Response:
        all_headers = {
            "content-type": "application/json",
            "user-agent": "funnel-sessions-hooks",
            **headers,
        }
        async with (
            # The library's limits are for one step each; this is for all of them.
            asyncio.timeout(self.timeout_seconds),
            httpx2.AsyncClient(
                trust_env=False,
                follow_redirects=False,
                timeout=self.timeout_seconds,
                verify=_tls(),
            ) as client,
            client.stream("POST", self.url, content=body, headers=all_headers) as response,
        ):
            return response


@cache
def _tls() -> ssl.SSLContext:
    """Return one context for all: reading the authorities takes longer than a delivery."""
    return httpx2.create_ssl_context(trust_env=False)


def _judge(answer: httpx2.Response) -> Result:
    status = answer.status_code
    if answer.is_success:
        return Result()
    if answer.is_redirect or answer.has_redirect_location:
        return Result(error=f"answered {status}, a redirect: they are not followed")
    text = f"answered {status}"
    if status == HTTPStatus.GONE:
        return Result(error=f"{text}: it wants no more", is_final=True)
    asked = _retry_after(answer) if status in _ASKS_TO_WAIT else 0.0
    return Result(error=text, retry_after_seconds=asked, rests=status in _ASKS_TO_WAIT)


def _retry_after(answer: httpx2.Response) -> float:
    """Return how long the receiver asks to be left alone; 0 if it does not say."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    return max(0.0, (_aware(moment) - get_clock().now()).total_seconds())


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
