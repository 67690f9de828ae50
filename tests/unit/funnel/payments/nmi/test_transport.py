"""One POST, once, within its time, over a network that does its worst; nothing secret gets out."""

from __future__ import annotations

import gzip
import socket
import ssl
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from funnel.payments.nmi import transport
from funnel.payments.nmi.deadline import Deadline, DeadlineBackend
from funnel.payments.nmi.exceptions import (
    NmiAnswerError,
    NmiDroppedError,
    NmiError,
    NmiNotSentError,
    NmiTimeoutError,
)
from funnel.payments.nmi.wire import Form
from tests.unit.funnel.payments.nmi.conftest import KEY, RawServer, http, read_request

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FORM = Form(fields={"type": "sale", "payment_token": "tok-canary"})
APPROVED = b"response=1&transactionid=1&response_code=100"


def post() -> transport.Answer:
    return transport.post(transport.TRANSACT, FORM)


def test_one_post_with_everything_in_its_body(answering: Callable[..., RawServer]) -> None:
    server = answering(http(APPROVED))

    answer = post()

    assert (answer.status_code, answer.body) == (200, APPROVED)
    [request] = server.requests
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /api/transact.php HTTP/1.1\r\n")
    assert body == b"security_key=sk-canary-5d1f0c&type=sale&payment_token=tok-canary"
    lines = head.lower().split(b"\r\n")
    assert b"connection: close" in lines
    assert b"accept-encoding: identity" in lines
    assert b"content-type: application/x-www-form-urlencoded" in lines
    assert b"canary" not in head


def test_every_call_has_a_connection_of_its_own(answering: Callable[..., RawServer]) -> None:
    server = answering(http(APPROVED))

    post()
    post()

    assert len(server.requests) == 2


@pytest.mark.parametrize("url", ["{}", "{}/"])
def test_the_final_slash_of_the_url_does_not_matter(
    answering: Callable[..., RawServer], nmi: Callable[..., None], url: str
) -> None:
    server = answering(http(APPROVED))
    nmi(URL=url.format(server.url.rstrip("/")))

    post()

    assert server.requests[0].startswith(b"POST /api/transact.php ")


def test_a_redirect_is_an_answer_and_nothing_is_sent_after_it(
    answering: Callable[..., RawServer],
) -> None:
    other = answering(http(APPROVED))
    location = f"Location: {other.url}transact.php\r\n"
    server = answering(http(b"", status="307 Temporary Redirect", headers=location))

    answer = post()

    assert answer.status_code == 307
    assert len(server.requests) == 1
    assert not other.requests


@pytest.mark.parametrize("status", ["500 Oops", "429 Slow down", "404 Nowhere"])
def test_every_status_is_an_answer(answering: Callable[..., RawServer], status: str) -> None:
    server = answering(http(b"<html>", status=status))

    answer = post()

    assert (answer.status_code, answer.body) == (int(status[:3]), b"<html>")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "part",
    [
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\nContent-Length: 44\r\n",
        http(APPROVED)[:-1],
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2c\r\n" + APPROVED,
        b"\x16\x03\x01 this is no HTTP\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"x" * 200_000,
    ],
)
def test_a_connection_that_breaks_is_not_tried_again(
    answering: Callable[..., RawServer], part: bytes
) -> None:
    server = answering(part)

    with pytest.raises(NmiDroppedError):
        post()

    assert len(server.requests) == 1


def test_a_reset_connection_is_not_tried_again(
    raw_server: Callable[..., RawServer], nmi: Callable[..., None]
) -> None:
    def reset(connection: socket.socket, server: RawServer) -> None:
        server.requests.append(read_request(connection))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    server = raw_server(reset)
    nmi(URL=server.url)

    with pytest.raises(NmiDroppedError):
        post()

    assert len(server.requests) == 1


@pytest.mark.parametrize("head", ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\n"])
def test_an_answer_that_does_not_say_where_it_ends_may_be_half_of_one(
    answering: Callable[..., RawServer], head: str
) -> None:
    answering(head.encode() + APPROVED)

    with pytest.raises(NmiAnswerError, match="where it ends"):
        post()


def test_a_chunked_answer_says_where_it_ends(answering: Callable[..., RawServer]) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    answering(head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(APPROVED), APPROVED))

    assert post().body == APPROVED


def test_a_huge_answer_is_let_go(answering: Callable[..., RawServer]) -> None:
    answering(http(b"x" * (256 * 1024 + 1)))

    with pytest.raises(NmiAnswerError, match="too long"):
        post()


def test_a_compressed_answer_is_not_unpacked(answering: Callable[..., RawServer]) -> None:
    packed = gzip.compress(b"x" * 50_000_000)
    answering(http(packed, headers="Content-Encoding: gzip\r\n"))

    assert post().body == packed


HANG = b""
DRIPS = {
    "before the head": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "in the head": (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
    "in the body": (b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", b"x"),
    "in chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "never": (b"", HANG),
}


@pytest.mark.parametrize("kind", DRIPS)
def test_a_server_that_drips_does_not_get_more_time(
    raw_server: Callable[..., RawServer], nmi: Callable[..., None], kind: str
) -> None:
    first, drop = DRIPS[kind]

    # Each drop comes well within the time; all of them take ten times as long. A client that
    # bounds single reads would wait for the end, and meet a broken answer there.
    def drip(connection: socket.socket, server: RawServer) -> None:
        server.requests.append(read_request(connection))
        connection.sendall(first)
        for _ in range(100):
            if server.gone.wait(0.05):
                return
            connection.sendall(drop)

    server = raw_server(drip)
    nmi(URL=server.url, TIMEOUT_SECONDS=0.5)

    with pytest.raises(NmiTimeoutError):
        post()

    assert len(server.requests) == 1


def test_a_server_that_reads_slowly_does_not_get_more_time(
    raw_server: Callable[..., RawServer],
) -> None:
    def sip(connection: socket.socket, server: RawServer) -> None:
        for _ in range(100):
            if server.gone.wait(0.05):
                return
            connection.recv(1 << 20)  # enough to let the client go on each time

    server = raw_server(sip)
    stream = DeadlineBackend(Deadline(0.5)).connect_tcp("127.0.0.1", server.port)

    with pytest.raises(TimeoutError):
        stream.write(bytes(50_000_000))

    stream.close()


def test_nothing_is_sent_once_the_time_is_up(raw_server: Callable[..., RawServer]) -> None:
    server = raw_server(lambda connection, server: server.requests.append(connection.recv(1)))
    deadline = Deadline(10)
    stream = DeadlineBackend(deadline).connect_tcp("127.0.0.1", server.port)
    deadline._end = float("-inf")

    with pytest.raises(TimeoutError):
        stream.write(b"x")

    stream.close()
    server.wait()
    assert server.requests == [b""]
    assert not deadline.has_sent


def test_every_address_of_a_host_is_tried(raw_server: Callable[..., RawServer]) -> None:
    # "localhost" is ::1 first on many machines; the server listens on 127.0.0.1 alone.
    server = raw_server(lambda connection, server: server.requests.append(connection.recv(1)))

    stream = DeadlineBackend(Deadline(10)).connect_tcp("localhost", server.port)

    stream.write(b"x")
    stream.close()
    server.wait()
    assert server.requests == [b"x"]


def test_an_address_that_never_answers_leaves_time_for_the_next(
    raw_server: Callable[..., RawServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = raw_server(lambda connection, server: server.requests.append(connection.recv(1)))
    with ExitStack() as stack:
        # A listener whose queue is full lets further connections wait for ever.
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        stack.enter_context(socket.create_connection(full.getsockname()))
        addresses = [full.getsockname(), ("127.0.0.1", server.port)]
        found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", address) for address in addresses]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

        stream = DeadlineBackend(Deadline(2)).connect_tcp("two.example", 443)

        stream.write(b"x")
        stream.close()
    server.wait()
    assert server.requests == [b"x"]


def test_a_refused_connection_has_sent_nothing(nmi: Callable[..., None]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    nmi(URL=f"http://127.0.0.1:{port}/api/")

    with pytest.raises(NmiNotSentError, match="ConnectionRefusedError"):
        post()


def test_a_host_that_has_no_address_has_been_sent_nothing(
    nmi: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [])
    nmi(URL="https://nowhere.invalid/api/")

    with pytest.raises(NmiNotSentError, match="ConnectionError"):
        post()


@pytest.mark.parametrize(
    "conf",
    [
        {"SECURITY_KEY": ""},
        {"URL": "http://secure.nmi.com/api/"},
        {"URL": "http://127.0.0.1.nip.example/api/"},
        {"URL": "http://127.0.0.1@secure.nmi.com/api/"},
        {"URL": "https://secure.nmi.com/api/?a=b"},
        {"URL": ""},
    ],
)
def test_without_a_key_or_in_the_clear_nothing_is_sent(
    answering: Callable[..., RawServer], nmi: Callable[..., None], conf: dict[str, Any]
) -> None:
    server = answering(http(APPROVED))
    nmi(**({"URL": server.url} | conf))

    with pytest.raises(NmiNotSentError, match=r"is not set|is not an HTTPS URL"):
        post()

    assert not server.requests


def test_the_environments_proxy_is_not_used(
    answering: Callable[..., RawServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = answering(http(b"from the proxy"))
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("ALL_PROXY", proxy.url)
    answering(http(APPROVED))

    assert post().body == APPROVED
    assert not proxy.requests


class Certificate:
    """A certificate for 127.0.0.1 that no authority has signed."""

    def __init__(self, folder: Path) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
        now = datetime.now(UTC)
        alternatives = [x509.IPAddress(ip_address("127.0.0.1"))]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .sign(key, hashes.SHA256())
        )
        self.path = folder / "certificate.pem"
        self.path.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )

    def serve(self, connection: socket.socket, server: RawServer) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path)
        with context.wrap_socket(connection, server_side=True) as secured:
            server.requests.append(read_request(secured))
            secured.sendall(http(APPROVED))


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return Certificate(tmp_path)


def test_a_certificate_that_nobody_vouches_for_is_sent_nothing(
    raw_server: Callable[..., RawServer], nmi: Callable[..., None], certificate: Certificate
) -> None:
    server = raw_server(certificate.serve)
    nmi(URL=server.url.replace("http:", "https:"))

    with pytest.raises(NmiNotSentError, match="SSLCertVerificationError"):
        post()

    assert not server.requests


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_certificate_counts_only_for_its_own_host(
    raw_server: Callable[..., RawServer],
    nmi: Callable[..., None],
    certificate: Certificate,
    monkeypatch: pytest.MonkeyPatch,
    host: str,
) -> None:
    trusting = transport._tls.__wrapped__()
    trusting.load_verify_locations(certificate.path)
    monkeypatch.setattr(transport, "_tls", lambda: trusting)
    server = raw_server(certificate.serve)
    nmi(URL=server.url.replace("http://127.0.0.1", f"https://{host}"))

    if host == "127.0.0.1":
        assert post().body == APPROVED
    else:
        with pytest.raises(NmiNotSentError, match="SSLCertVerificationError"):
            post()

    assert [request[:4] for request in server.requests] == [b"POST"] * (host == "127.0.0.1")


def test_a_server_that_never_shakes_hands_is_sent_nothing(
    raw_server: Callable[..., RawServer], nmi: Callable[..., None]
) -> None:
    def wait(connection: socket.socket, server: RawServer) -> None:
        server.requests.append(connection.recv(65536))
        server.gone.wait(5)

    server = raw_server(wait)
    nmi(URL=server.url.replace("http:", "https:"), TIMEOUT_SECONDS=0.5)

    with pytest.raises(NmiNotSentError, match="TimeoutError"):
        post()

    assert KEY.encode() not in b"".join(server.requests)


def test_what_it_raises_stands_alone(answering: Callable[..., RawServer]) -> None:
    answering(b"")

    with pytest.raises(NmiError) as caught:
        post()

    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert caught.traceback[-1].name == "post"
