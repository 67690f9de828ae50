"""One request of a shopper's browser, and what came back: an answer, or none."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import httpx2

from funnel.simulation.exceptions import NotLoopbackError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CUT: Final = 0
"""The status of a request that was never answered: nobody knows what became of it."""

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_TIMEOUT_SECONDS: Final = 15


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back.

    Attributes:
        status: of HTTP, or `CUT`.
        body: the JSON object; empty if there was none.
        seconds: how long it took.
        retry_after: seconds that the site asked to wait; 0: it said nothing.

    """

    status: int
    body: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    retry_after: float = 0.0

    @property
    def code(self) -> str:
        """What a problem is called; empty if it is none."""
        return str(self.body.get("code", ""))

    @property
    def is_ok(self) -> bool:
        """Whether the site did what was asked."""
        return self.status in {200, 201, 204}


class Browser:
    """One shopper's cookies; the connections are everybody's.

    Attributes:
        cookies: name → value, as the site set them.

    """

    def __init__(self, site: Site, cookies: Mapping[str, str] | None = None) -> None:
        self._site = site
        self.cookies = dict(cookies or {})

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Ask once, and keep the cookies that come back."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer, cookies = self._site.send(method, path, body, sent)
        for name, value in cookies.items():
            if value:
                self.cookies[name] = value
            else:
                self.cookies.pop(name, None)
        return answer


class Site:
    """The site, at one address or several that a load balancer would choose from.

    Raises:
        NotLoopbackError: an address is not of this machine.

    """

    def __init__(self, base_urls: Sequence[str], *, connections: int = 32) -> None:
        for url in base_urls:
            if urlsplit(url).hostname not in _LOOPBACK:
                raise NotLoopbackError(url)
        self._bases = [url.rstrip("/") for url in base_urls]
        self._client = httpx2.Client(
            timeout=_TIMEOUT_SECONDS,
            trust_env=False,  # a proxy would carry it off this machine
            limits=httpx2.Limits(
                max_connections=connections,
                max_keepalive_connections=connections,
                # Gunicorn closes idle ones after 2 s: a request sent into that would be cut.
                keepalive_expiry=1,
            ),
        )

    def send(
        self, method: str, path: str, body: Any, headers: dict[str, str]
    ) -> tuple[Answer, dict[str, str]]:
        """Ask once, and never again by itself; return the answer and the cookies it sets."""
        base = random.choice(self._bases)  # noqa: S311  (a balancer's choice is no secret)
        began = time.monotonic()
        try:
            response = self._client.request(method, base + path, json=body, headers=headers)
        except httpx2.TransportError:
            return Answer(status=CUT, seconds=time.monotonic() - began), {}
        answer = Answer(
            status=response.status_code,
            body=_object(response),
            seconds=time.monotonic() - began,
            retry_after=_seconds(response.headers.get("Retry-After", "")),
        )
        cookies = _cookies(response.headers.get_list("Set-Cookie"))
        return answer, cookies

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _object(response: httpx2.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _seconds(text: str) -> float:
    return float(text) if text.isdecimal() else 0.0


def _cookies(headers: list[str]) -> dict[str, str]:
    """Return name → value; empty: the site deletes it."""
    pairs = (header.partition(";")[0].partition("=") for header in headers)
    return {name.strip(): value.strip().strip('"') for name, _, value in pairs}
