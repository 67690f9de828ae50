"""What the page on handing orders on tells to write works against what is sent."""

from __future__ import annotations

import base64
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from funnel.hooks import signing
from funnel.hooks.event import HookEvent
from tests.hook_receiver import OTHER_SECRET, SECRET
from tests.sessions import BORN

PAGE = Path(__file__).resolve().parents[4] / "docs/howto/hand-orders-on.md"
BODY = b'{"amount":"29.99"}'


def snippet(name: str) -> dict[str, Any]:
    """Run a block of the page and return what it defines."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.search(
        rf"<!-- run: {name} -->\n```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE
    )
    assert found is not None
    names: dict[str, Any] = {}
    exec(found[1], names)
    return names


def verify(*, body: bytes = BODY, secret: str = SECRET, late: int = 0, **changed: str) -> bool:
    keys = signing.parse_secrets([OTHER_SECRET, SECRET])
    headers = signing.headers(keys, event_id="evt_1", at=BORN, body=BODY)
    named = {name.replace("_", "-"): text for name, text in changed.items()}
    now = (BORN + timedelta(seconds=late)).timestamp()
    return bool(snippet("verify")["is_ours"](headers | named, body, secret, now=now))


@pytest.mark.parametrize("secret", [SECRET, OTHER_SECRET])
def test_either_secret_verifies_while_both_sign(secret: str) -> None:
    assert verify(secret=secret)


def test_what_was_changed_on_the_way_does_not_verify() -> None:
    stranger = f"whsec_{base64.b64encode(b'x' * 32).decode()}"

    assert not verify(body=BODY.replace(b"29", b"99"))
    assert not verify(secret=stranger)
    assert not verify(webhook_id="evt_2")
    assert not verify(webhook_timestamp=str(int(BORN.timestamp()) + 1))
    assert not verify(webhook_signature="v1,")


def test_what_is_old_does_not_verify() -> None:
    assert verify(late=299)
    assert not verify(late=301)


def test_the_callable_of_the_page_takes_an_event(capsys: pytest.CaptureFixture[str]) -> None:
    event = HookEvent(
        id="evt_1",
        type="session_completed",
        session_id="ws_1_a",
        sequence=7,
        created_at=BORN,
        data={},
        session={"products": ["soil"], "email": "ana@example.org"},
    )

    snippet("callable")["take"](event)

    assert "pack ['soil'] for ana@example.org" in capsys.readouterr().out
