"""The proxy that the other fault tests stand on does what it says, to a server that echoes."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.fault_proxy import FaultProxy
from tests.managing import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(4096):
            self.request.sendall(data)


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    socketserver.ThreadingTCPServer.daemon_threads = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        with FaultProxy(target=server.server_address) as proxy:
            yield proxy
        server.shutdown()
        thread.join()


def connect(proxy: FaultProxy, *, patience: float = 5) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=patience)


def ask(client: socket.socket, data: bytes = b"hello") -> bytes:
    client.sendall(data)
    return client.recv(4096)


def use(proxy: FaultProxy) -> None:
    with connect(proxy) as client:
        assert ask(client)
        ask(client)


def test_it_passes_both_ways_and_counts(proxy: FaultProxy) -> None:
    with connect(proxy) as client, connect(proxy) as other:
        answers = [ask(client), ask(other, b"you"), ask(client, b"again")]

    assert answers == [b"hello", b"you", b"again"]
    assert (proxy.connections, proxy.requests, proxy.from_server) == (2, 3, 13)
    wait_for(lambda: proxy.open_connections == 0)


def test_refused_connections_and_the_open_one_is_reset(proxy: FaultProxy) -> None:
    with connect(proxy) as client:
        ask(client)

        proxy.refuse()

        with pytest.raises(ConnectionResetError):
            client.recv(1)
        with pytest.raises(ConnectionRefusedError):
            connect(proxy)


def test_a_healed_proxy_serves_at_its_old_port(proxy: FaultProxy) -> None:
    proxy.refuse()
    proxy.pass_on()

    with connect(proxy) as client:
        assert ask(client) == b"hello"


def test_reset_is_for_open_and_new_connections(proxy: FaultProxy) -> None:
    with connect(proxy) as client:
        ask(client)

        proxy.reset()

        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with pytest.raises(ConnectionResetError):
        use(proxy)


def test_a_hang_answers_nobody_and_what_it_held_back_flows_on(proxy: FaultProxy) -> None:
    with connect(proxy) as client, connect(proxy) as late:
        ask(client)

        proxy.hang()

        for each in (client, late):
            each.settimeout(0.1)
            with pytest.raises(TimeoutError):
                ask(each, b"held")
            each.settimeout(5)
        proxy.pass_on()
        assert (client.recv(4096), late.recv(4096)) == (b"held", b"held")


def test_a_mute_server_hears_and_its_answers_come_later(proxy: FaultProxy) -> None:
    with connect(proxy) as client:
        proxy.mute()
        client.settimeout(0.1)
        with pytest.raises(TimeoutError):
            ask(client, b"held")

        proxy.pass_on()

        client.settimeout(5)
        assert client.recv(4096) == b"held"


def test_only_the_answer_to_these_words_and_what_follows_are_held_back(proxy: FaultProxy) -> None:
    with connect(proxy) as client, connect(proxy) as other:
        proxy.mute(since=b"UPDATE")
        before = ask(client, b"SELECT")
        client.settimeout(0.1)
        with pytest.raises(TimeoutError):
            ask(client, b"UPDATE")
        elsewhere = ask(other, b"SELECT")

        proxy.pass_on()

        client.settimeout(5)
        assert (before, elsewhere, client.recv(4096)) == (b"SELECT", b"SELECT", b"UPDATE")


def test_it_counts_words_that_clients_send(proxy: FaultProxy) -> None:
    with connect(proxy) as client:
        ask(client, b"SELECT")
        proxy.count(b"SELECT")
        ask(client, b"SELECT 1; SELECT 2; INSERT")

    assert proxy.heard == 2


def test_an_answer_is_delayed_by_the_given_time_and_its_jitter(proxy: FaultProxy) -> None:
    proxy.delay(0.06, 0.02)

    with connect(proxy) as client:
        took = []
        for _ in range(5):
            start = time.monotonic()
            ask(client)
            took.append(time.monotonic() - start)

    assert min(took) >= 0.04
    assert len({round(each, 4) for each in took}) > 1


def test_a_connection_is_cut_after_so_many_bytes_more_from_the_server(proxy: FaultProxy) -> None:
    with connect(proxy) as client:
        ask(client)

        proxy.cut_after(7)

        assert ask(client) == b"hello"
        assert ask(client) == b"he"
        assert client.recv(4096) == b""


def test_dropping_connections_spares_new_ones(proxy: FaultProxy) -> None:
    with connect(proxy) as client:
        ask(client)

        proxy.drop_connections()

        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with connect(proxy) as late:
        assert ask(late) == b"hello"


def test_a_server_that_is_gone_costs_a_reset_not_a_hang(proxy: FaultProxy) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        proxy.target = nobody.getsockname()

        with pytest.raises(ConnectionError):
            use(proxy)


def test_a_url_is_rewritten_to_the_proxy_with_its_login(proxy: FaultProxy) -> None:
    assert proxy.url("redis://:pass@10.0.0.1:6379/0") == f"redis://:pass@{proxy.address}/0"
    assert proxy.url("postgresql://u:p@db/f?x=1") == f"postgresql://u:p@{proxy.address}/f?x=1"
