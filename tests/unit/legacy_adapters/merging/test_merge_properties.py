"""What holds for every merge, whatever its stores say."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from legacy_adapters.merging import Candidate, Merged, merge
from legacy_adapters.merging.answers import is_proven
from legacy_adapters.stores import Store
from sessions_unified.expiry import absolute_limit
from sessions_unified.flow import get_flow
from tests.unit.legacy_adapters.merging.strategies import candidates, of_different_stores, several

if TYPE_CHECKING:
    from sessions_unified.snapshot import SessionSnapshot

OWN = {Store.UNIFIED, Store.COPY}
TRUSTED = tuple(store for store in Store if store.is_trusted)
ALONG = ("pending", "processing", "completed")


def blocking(merged: Merged) -> list[str]:
    return [conflict.field for conflict in merged.conflicts if conflict.blocks]


@given(found=several(), data=st.data())
def test_the_order_of_the_copies_does_not_matter(found: list[Candidate], data: Any) -> None:
    shuffled = data.draw(st.permutations(found))

    assert merge(shuffled) == merge(found)


@given(found=several())
def test_a_copy_given_twice_says_nothing_more(found: list[Candidate]) -> None:
    assert merge([*found, *found]) == merge(found)


def rows_of(found: list[Candidate], session: SessionSnapshot) -> list[Candidate]:
    """Return the result as our own row: a copy too, where none of ours went into it."""
    is_ours = any(each.store is Store.UNIFIED for each in found)
    stores = [Store.UNIFIED] if is_ours else [Store.UNIFIED, Store.COPY]
    return [Candidate(store=store, session=session) for store in stores]


@given(found=of_different_stores())
def test_merging_the_result_again_changes_nothing(found: list[Candidate]) -> None:
    first = merge(found)
    others = [each for each in found if each.store not in OWN]

    for row in rows_of(found, first.session):
        assert merge([row, *others]).session == first.session


@given(found=of_different_stores())
def test_merging_the_result_again_meets_no_new_contradiction(found: list[Candidate]) -> None:
    first = merge(found)
    others = [each for each in found if each.store not in OWN]

    for row in rows_of(found, first.session):
        assert set(blocking(merge([row, *others]))) <= set(blocking(first))


@given(found=several())
def test_the_copies_are_left_as_they_are(found: list[Candidate]) -> None:
    before = copy.deepcopy([msgspec.to_builtins(each.session) for each in found])

    merge(found)

    assert [msgspec.to_builtins(each.session) for each in found] == before


@given(found=several(*TRUSTED))
def test_no_trusted_fact_is_lost(found: list[Candidate]) -> None:
    sessions = [each.session for each in found]

    merged = merge(found).session

    proven = {
        offer
        for each in sessions
        for offer in each.upsells.details
        if is_proven(each.upsells.details, offer)
    }
    accepted = {offer for each in sessions for offer in each.upsells.accepted}
    answered = accepted | {offer for each in sessions for offer in each.upsells.declined}
    assert accepted & proven <= set(merged.upsells.accepted)
    assert {*merged.upsells.accepted, *merged.upsells.declined} == answered
    assert merged.is_paid == any(each.is_paid for each in sessions)
    assert bool(merged.vault_id) == any(each.vault_id for each in sessions)
    assert bool(merged.products) == any(each.products for each in sessions)
    assert set(merged.customer or {}) == {key for each in sessions for key in each.customer or {}}
    assert merged.created_at == min(each.created_at for each in sessions)


@given(found=several(*(store for store in TRUSTED if store is not Store.COPY)))
def test_the_furthest_step_is_kept(found: list[Candidate]) -> None:
    flow = get_flow()

    merged = merge(found).session

    ranks = [flow.rank(each.session.current_step) for each in found]
    assert flow.rank(merged.current_step) == max(ranks)
    along = [each.session.status for each in found if each.session.status in ALONG]
    if merged.status in ALONG and along:
        assert ALONG.index(merged.status) >= max(map(ALONG.index, along))


@given(found=several(*TRUSTED), said=candidates(Store.LOCAL_STORAGE))
def test_a_browser_changes_nothing_that_it_may_not(found: list[Candidate], said: Candidate) -> None:
    trusted = merge(found)

    merged = merge([*found, said])

    for field in (
        *("id", "email", "status", "current_step", "vault_id", "transaction_id", "amount"),
        *("currency", "upsells", "payment_token", "created_at", "updated_at", "expires_at"),
        "version",
    ):
        assert getattr(merged.session, field) == getattr(trusted.session, field), field
    assert blocking(merged) == blocking(trusted)


@given(found=several(Store.LOCAL_STORAGE))
def test_a_browser_alone_is_at_the_beginning(found: list[Candidate]) -> None:
    merged = merge(found).session

    assert (merged.status, merged.current_step) == get_flow().start
    assert (merged.vault_id, merged.transaction_id, merged.payment_token) == (None, None, None)
    assert merged.amount is None
    assert not any(product.price for product in merged.products)
    assert not merged.upsells.accepted
    assert not merged.upsells.declined


@given(found=several())
def test_nothing_outlives_its_limit_but_our_own_row(found: list[Candidate]) -> None:
    merged = merge(found).session

    own = [each.session.expires_at for each in found if each.store in OWN]
    assert merged.expires_at <= max([absolute_limit(merged.created_at), *own])
