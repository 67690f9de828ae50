"""A worker is SIGKILLed while it hands an order on: delivered again, and never out of order."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from tests.hook_receiver import SECRET, Received, receiving
from tests.hooks import State, complete, deliver, deliver_all, relay, rows
from tests.managing import wait_for

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

DELIVER = "import django; django.setup(); from funnel import tasks; tasks.deliver_hooks()"


@pytest.mark.usefixtures("transactional_db", "redis_flush")
def test_killed_between_the_post_and_the_mark_it_is_delivered_again(
    site_env: dict[str, str], settings: SettingsWrapper
) -> None:
    may_answer = threading.Event()

    def hold(_: Received) -> tuple[int, dict[str, str]]:
        may_answer.wait(30)
        return 200, {}

    with receiving() as receiver:
        target = {"URL": receiver.url, "SECRET": SECRET}
        settings.FUNNEL = settings.FUNNEL | {"HOOKS": {"webhook": target}}
        relay()
        complete()
        relay()
        receiver.answer = hold
        env = {**site_env, "ORDER_HOOK_URL": receiver.url, "ORDER_HOOK_SECRET": SECRET}
        worker = subprocess.Popen([sys.executable, "-c", DELIVER], env=env)
        wait_for(lambda: receiver.received, seconds=30)
        worker.send_signal(signal.SIGKILL)
        worker.wait(60)
        may_answer.set()

        assert deliver() == {}  # the dead one's lease stands, and the next one waits for it
        deliver_all()

    assert receiver.types == ["upsell_paid", "upsell_paid", "session_completed"]
    assert receiver.ids[0] == receiver.ids[1]
    assert {row.state for row in rows()} == {State.DELIVERED}
    assert rows()[0].tries == 2
