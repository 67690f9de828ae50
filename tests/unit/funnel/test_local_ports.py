from __future__ import annotations

import socket

from funnel.local.ports import LOOPBACK, free_port, is_free


def test_a_free_port_is_free() -> None:
    assert is_free(free_port())


def test_a_port_with_a_listener_is_not_free() -> None:
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        listener.listen()

        assert not is_free(listener.getsockname()[1])


def test_a_listener_on_every_interface_counts() -> None:
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        listener.listen()

        assert not is_free(listener.getsockname()[1])


def test_a_port_is_free_again_after_its_connections_ended() -> None:
    with socket.create_server((LOOPBACK, 0)) as listener:
        port = listener.getsockname()[1]
        client = socket.create_connection((LOOPBACK, port))
        served, _ = listener.accept()
        served.close()  # the server closes first: its side stays in TIME_WAIT
        client.close()

    assert is_free(port)
