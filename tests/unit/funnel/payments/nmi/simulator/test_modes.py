"""Which mode a request takes."""

from __future__ import annotations

import threading

import pytest

from funnel.payments.nmi.simulator.cards import CARDS
from funnel.payments.nmi.simulator.modes import (
    MODES,
    Modes,
    Rule,
    Scope,
    UnknownModeError,
    find_mode,
)

PLAIN = CARDS["4111111111111111"]
DECLINING = CARDS["4000000000000002"]
LATER_DECLINING = CARDS["4000000000000184"]


def rule(
    name: str, scope: Scope = "sales", *, card: str | None = None, times: int | None = None
) -> Rule:
    return Rule(mode=find_mode(name), scope=scope, card=card, times=times)


def taken(modes: Modes, *scopes: Scope) -> list[str]:
    return [modes.take(scope, PLAIN).name for scope in scopes]


def test_without_a_rule_cards_decide_and_the_rest_is_approved() -> None:
    modes = Modes()

    assert modes.take("first", PLAIN).name == "approve"
    assert modes.take("first", DECLINING).name == "decline"
    assert modes.take("later", DECLINING).name == "approve"
    assert modes.take("first", LATER_DECLINING).name == "approve"
    assert modes.take("later", LATER_DECLINING).name == "decline"
    assert modes.take("reversals").name == "approve"


def test_a_counted_rule_goes_first_and_is_used_up() -> None:
    modes = Modes()
    modes.add(rule("reject"))
    modes.add(rule("decline", times=2))
    modes.add(rule("hang", "first", times=1))

    assert taken(modes, "later", "first", "first", "first") == [
        "decline",
        "decline",
        "hang",
        "reject",
    ]


def test_first_and_later_sales_can_differ_and_sales_are_not_reversals_nor_queries() -> None:
    modes = Modes()
    modes.add(rule("decline", "later"))
    modes.add(rule("hang", "queries"))
    modes.add(rule("reject"))

    assert taken(modes, "first", "later", "queries", "reversals") == [
        "reject",
        "decline",
        "hang",
        "approve",
    ]


def test_what_is_said_of_a_card_is_nearer_than_what_it_means_by_itself() -> None:
    modes = Modes()
    modes.add(rule("reject"))
    modes.add(rule("hang", card=DECLINING.number))

    assert modes.take("first", DECLINING).name == "hang"
    assert modes.take("first", LATER_DECLINING).name == "approve"
    assert modes.take("first", PLAIN).name == "reject"


def test_a_standing_rule_replaces_the_one_before_it() -> None:
    modes = Modes()
    modes.add(rule("decline"))
    modes.add(rule("approve"))

    assert taken(modes, "first") == ["approve"]
    assert len(modes.rules) == 1


def test_a_counted_rule_is_counted_once_by_each_of_many_threads() -> None:
    modes, names = Modes(), []
    modes.add(rule("decline", times=25))

    def take() -> None:
        names.extend(modes.take("first", PLAIN).name for _ in range(25))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert names.count("decline") == 25


@pytest.mark.parametrize("name", ["", "nonsense", "code-100", "code-99", None, ["approve"]])
def test_an_unknown_mode_says_what_there_is(name: object) -> None:
    with pytest.raises(UnknownModeError, match="charge-then-hang"):
        find_mode(name)


def test_any_documented_code_is_a_mode_that_moves_no_money() -> None:
    declined, refused = find_mode("code-251"), find_mode("code-461")

    assert (declined.decision, declined.code, declined.response) == ("decline", "251", "2")
    assert (refused.decision, refused.code, refused.response) == ("refuse", "461", "3")


def test_every_card_means_a_mode_and_is_told_apart_by_its_mask() -> None:
    meant = {name for card in CARDS.values() for name in (card.first, card.later)} - {None}

    assert meant <= set(MODES)
    assert len({card.masked for card in CARDS.values()}) == len(CARDS)
    assert len({card.hash for card in CARDS.values()}) == len(CARDS)
    assert not any(card.number in card.masked + card.hash for card in CARDS.values())
