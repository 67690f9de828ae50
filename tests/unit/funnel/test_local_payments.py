"""Who takes the demo's money."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from funnel.local import banner as banners
from funnel.local import payments
from funnel.local.banner import Prepared, banner
from funnel.local.child import Child
from funnel.local.exceptions import LocalError
from funnel.local.payments import LocalNmi, payments_from
from funnel.local.ports import LOOPBACK, free_port
from funnel.local.site import Site

if TYPE_CHECKING:
    from pathlib import Path

PREPARED = Prepared(admin="admin", password="s3cret", links=())


def nmi(directory: Path) -> LocalNmi:
    return LocalNmi.beside("http://127.0.0.1:8123", directory)


def test_payments_are_the_sandboxs_unless_chosen() -> None:
    assert payments_from({}) == "sandbox"
    assert payments_from({"PAYMENTS": ""}) == "sandbox"
    assert payments_from({"PAYMENTS": "nmi"}) == "nmi"


@pytest.mark.parametrize("text", ["NMI", "stripe", " ", "nmi,sandbox"])
def test_an_unknown_choice_says_what_there_is(text: str) -> None:
    with pytest.raises(LocalError, match=f"PAYMENTS={text}: there are sandbox and nmi."):
        payments_from({"PAYMENTS": text})


def test_the_shop_and_the_simulator_are_told_of_each_other(tmp_path: Path) -> None:
    simulator = nmi(tmp_path)

    variables = simulator.variables()
    argv = {child.name: list(child.argv) for child in Site(tmp_path, 1, nmi=simulator).children}

    assert variables["NMI_URL"] == f"{simulator.url}/api/"
    assert variables["NMI_COLLECT_URL"] == f"{simulator.url}/token/Collect.js"
    assert variables["NMI_SECURITY_KEY"] != variables["NMI_WEBHOOK_KEYS"]
    assert "http://127.0.0.1:8123/api/webhooks/nmi" in argv["nmi"]
    assert str(tmp_path / "nmi-books.jsonl") in argv["nmi"]
    assert not any(variables[name] in argv["nmi"] for name in variables if "KEY" in name)
    assert next(iter(argv)) == "nmi", "the shop is started after what it pays with"


def test_a_busy_port_is_gone_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((LOOPBACK, 0)) as other_program:
        busy = other_program.getsockname()[1]
        monkeypatch.setattr(payments, "PORT", busy)

        assert nmi(tmp_path).port != busy

    monkeypatch.setattr(payments, "PORT", free := free_port())
    assert nmi(tmp_path).port == free


def test_a_leftover_simulator_is_looked_for_where_none_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_for: list[str] = []
    monkeypatch.setattr(Child, "stop_leftover", lambda child: looked_for.append(child.name))

    Site(tmp_path, 1).stop_leftovers()

    assert looked_for == ["web", "worker", "beat", "relay", "nmi"]


def test_the_banner_names_the_simulator_and_its_cards(tmp_path: Path) -> None:
    plain = banner("http://127.0.0.1:8123", PREPARED)

    text = banner("http://127.0.0.1:8123", PREPARED, simulator_url=nmi(tmp_path).url)

    assert f"NMI       {nmi(tmp_path).url}/_control/" in text
    for number in banners.SHOWN_CARDS:
        assert number in text
    assert "NMI" not in plain
