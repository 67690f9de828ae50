"""How forms reach NMI: one POST, on a connection of its own, within one time budget.

Sent once: nothing is retried, no redirect is followed, and no kept-alive connection is used,
which may be dead by the time it is. The key and the form are in the request's body, and in
nothing that can be shown: what the HTTP library raises carries the request, so it goes no further.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Final

import httpcore2
import httpx2

from funnel.payments.nmi.conf import get_nmi_conf
from funnel.payments.nmi.deadline import Deadline, DeadlineBackend
from funnel.payments.nmi.exceptions import (
    NmiAnswerError,
    NmiDroppedError,
    NmiError,
    NmiNotSentError,
    NmiTimeoutError,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Iterator

    from funnel.payments.nmi.conf import NmiConf
    from funnel.payments.nmi.wire import Form

TRANSACT: Final = "transact.php"
QUERY: Final = "query.php"

_MAX_BYTES: Final = 256 * 1024
_HEADERS: Final = {
    "Accept-Encoding": "identity",  # a compressed body may grow past any limit
    "Connection": "close",
    "Content-Type": "application/x-www-form-urlencoded",
    "User-Agent": "funnel-sessions",
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back: NMI's, or of anything that stands in between."""

    status_code: int
    body: bytes = field(repr=False)


def post(script: str, form: Form) -> Answer:
    """Send a form to one of NMI's scripts, once.

    Raises:
        NmiNotSentError: nothing of it has left this machine.
        NmiTimeoutError: the time is up.
        NmiDroppedError: the connection broke.
        NmiAnswerError: the answer is too long, or does not say where it ends.

    """
    conf = get_nmi_conf()
    _refuse_unsafe(conf)
    deadline = Deadline(conf.TIMEOUT_SECONDS)
    try:
        return _exchange(conf, script, form, deadline)
    except Exception as exc:  # noqa: BLE001  (all of them may carry the request; see below)
        failure = _failure(exc, deadline)
    # Raised outside the handler: no chain leads to the library's errors, and so to the request.
    raise failure


def _refuse_unsafe(conf: NmiConf) -> None:
    if not conf.SECURITY_KEY:
        raise NmiNotSentError("NMI's security key is not set, so nothing was sent.")
    if not conf.is_private:
        raise NmiNotSentError("NMI's address is not an HTTPS URL, so nothing was sent.")


def _failure(exc: Exception, deadline: Deadline) -> NmiError:
    if not deadline.has_sent:
        kind = type(exc).__name__  # no message: it may quote what it was given
        return NmiNotSentError(f"NMI could not be reached ({kind}), so nothing was sent.")
    if isinstance(exc, NmiError):
        return type(exc)(str(exc))
    if isinstance(exc, TimeoutError | httpx2.TimeoutException):
        return NmiTimeoutError()
    return NmiDroppedError()


def _exchange(conf: NmiConf, script: str, form: Form, deadline: Deadline) -> Answer:
    url = f"{conf.URL.rstrip('/')}/{script}"
    body = form.encoded(conf.SECURITY_KEY)
    transport = _Transport(deadline)
    with (
        httpx2.Client(transport=transport, trust_env=False, follow_redirects=False) as client,
        client.stream("POST", url, content=body, headers=_HEADERS) as response,
    ):
        return Answer(status_code=response.status_code, body=_read(response))


def _read(response: httpx2.Response) -> bytes:
    """Return the whole body, as it came."""
    if not {"content-length", "transfer-encoding"} & set(response.headers):
        # It ends when the connection does: half an answer would look like a whole one.
        raise NmiAnswerError("NMI's answer did not say where it ends.")
    body = bytearray()
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > _MAX_BYTES:
            raise NmiAnswerError("NMI's answer is too long.")
    return bytes(body)


@cache
def _tls() -> ssl.SSLContext:
    """Return what checks NMI's certificate; loading the authorities takes a while."""
    return httpx2.create_ssl_context(trust_env=False)


class _Body(httpx2.SyncByteStream):
    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts = parts

    def __iter__(self) -> Iterator[bytes]:
        yield from self._parts

    def close(self) -> None:
        close = getattr(self._parts, "close", None)
        if close is not None:
            close()


class _Transport(httpx2.BaseTransport):
    """httpx2's way to the network, over connections that end with a deadline."""

    def __init__(self, deadline: Deadline) -> None:
        self._pool = httpcore2.ConnectionPool(
            ssl_context=_tls(),
            max_keepalive_connections=0,
            retries=0,
            network_backend=DeadlineBackend(deadline),
        )

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request and return the response, its body still to be read."""
        url = request.url
        response = self._pool.handle_request(
            httpcore2.Request(
                method=request.method,
                url=httpcore2.URL(
                    scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                ),
                headers=request.headers.raw,
                content=request.stream,
            )
        )
        return httpx2.Response(
            response.status,
            headers=response.headers,
            stream=_Body(response.iter_stream()),
        )

    def close(self) -> None:
        """Close the connection."""
        self._pool.close()
