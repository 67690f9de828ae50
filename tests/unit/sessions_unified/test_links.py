"""One-time links: one use, one winner, not for long."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.core import serializers
from django.db import connection

from sessions_unified.exceptions import InvalidLinkError
from sessions_unified.links import create_link, redeem_link
from sessions_unified.models import SessionLink


@pytest.mark.django_db
def test_a_link_is_redeemed_once() -> None:
    secret = create_link("ws_1_a", actor="staff:1")

    assert redeem_link(secret) == "ws_1_a"
    with pytest.raises(InvalidLinkError):
        redeem_link(secret)


@pytest.mark.django_db
def test_a_link_of_yesterday_and_one_that_never_was_open_nothing() -> None:
    secret = create_link("ws_1_a", actor="staff:1")
    link = SessionLink.objects.get()
    link.expires_at -= timedelta(days=2)
    link.save()

    for wrong in (secret, secret[:-1], "", "x" * 10_000, link.digest, "\x00", "ü"):
        with pytest.raises(InvalidLinkError):
            redeem_link(wrong)


@pytest.mark.django_db
def test_r26_a_dump_of_the_table_opens_nothing() -> None:
    secret = create_link("ws_1_a", actor="staff:1")

    assert secret not in serializers.serialize("json", SessionLink.objects.all())
    assert len(secret) >= 43


@pytest.mark.django_db(transaction=True)
def test_of_many_who_follow_a_link_at_once_one_wins() -> None:
    secret = create_link("ws_1_a", actor="staff:1")

    def follow(_: int) -> str | None:
        try:
            return redeem_link(secret)
        except InvalidLinkError:
            return None
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(follow, range(16)))

    assert [each for each in found if each] == ["ws_1_a"]
