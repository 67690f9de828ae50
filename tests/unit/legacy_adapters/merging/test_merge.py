"""The merge rule by rule: what each field becomes, and what is a contradiction."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from legacy_adapters.merging import Candidate, Merged, merge
from legacy_adapters.merging.rules import RULES
from legacy_adapters.stores import Store
from sessions_unified.snapshot import SessionSnapshot
from tests.sessions import BORN, snapshot

UNIFIED, DATABASE, COOKIE = Store.UNIFIED, Store.DATABASE, Store.COOKIE
MEMORY, COPY, BROWSER = Store.MEMORY_CACHE, Store.COPY, Store.LOCAL_STORAGE
PAID = {"status": "processing", "current_step": "upsell-1", "transaction_id": "3029929089"}
HOUR = timedelta(hours=1)
SOIL = {"id": "SOIL", "quantity": 1, "price": "12.50"}
LAMP = {"id": "LAMP", "quantity": 2, "price": "89.00"}
SERUM = "upsell-1-serum"


def one(store: Store, **fields: Any) -> Candidate:
    return Candidate(store=store, session=snapshot(**fields))


def merged(*candidates: Candidate) -> SessionSnapshot:
    return merge(candidates).session


def met(result: Merged) -> list[tuple[str, bool]]:
    return [(conflict.field, conflict.blocks) for conflict in result.conflicts]


def vault(
    store: Store, vault_id: str, updated: Any = None, *, said_by: Store = COOKIE
) -> Candidate:
    kept = {} if updated is None else {str(said_by): {"lastVaultUpdate": updated}}
    return one(store, vault_id=vault_id, metadata={"legacy": kept} if kept else {})


def test_there_is_a_rule_for_every_field() -> None:
    assert set(RULES) == set(SessionSnapshot.__struct_fields__)


@pytest.mark.parametrize("store", [store for store in Store if store.is_trusted])
def test_one_trusted_copy_stays_as_it_is(store: Store) -> None:
    session = snapshot(
        **PAID,
        email="Ana@example.org",
        customer={"firstName": "Ana", "note": ""},
        products=[SOIL],
        amount="12.50",
        currency="EUR",
        vault_id="1",
        upsells={"accepted": [SERUM], "details": {SERUM: {"amount": 5}}},
        metadata={"note": "a", "legacy": {"database": {"columns": {"x": 1}}}},
    )

    result = merge([Candidate(store=store, session=session)])

    assert result == (session, ())


def test_copies_of_several_sessions_are_refused() -> None:
    with pytest.raises(ValueError, match="one id"):
        merge([one(DATABASE), one(COOKIE, id="ws_1_b")])


def test_nothing_to_merge_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        merge([])


# Email


@pytest.mark.parametrize(
    "other", ["ANA@example.org", "ana@example.org ", "ana@EXAMPLE.org"], ids=["name", "space", "at"]
)
def test_addresses_agree_whatever_their_case(other: str) -> None:
    result = merge([one(DATABASE, email="ana@example.org"), one(COOKIE, email=other)])

    assert result.session.email == "ana@example.org"
    assert not result.conflicts


def test_addresses_agree_in_either_form_of_unicode() -> None:
    composed, decomposed = "jos\u00e9@example.org", "Jose\u0301@example.org"

    result = merge([one(COOKIE, email=decomposed), one(DATABASE, email=composed)])

    assert result.session.email == composed
    assert not result.conflicts


def test_an_address_is_composed_before_its_case_is_folded() -> None:
    decomposed = "\u03b1\u0345\u0301@example.org"

    result = merge([one(DATABASE, email=decomposed), one(COOKIE, email="\u1fb4@example.org")])

    assert not result.conflicts


def test_trusted_stores_that_name_two_addresses_block() -> None:
    result = merge([one(COOKIE, email="eva@example.org"), one(DATABASE, email="ana@example.org")])

    assert result.is_blocked
    assert [dict(each.values) for each in result.conflicts] == [
        {DATABASE: "ana@example.org", COOKIE: "eva@example.org"}
    ]


def test_a_browsers_other_address_is_on_record_and_blocks_nothing() -> None:
    result = merge([one(BROWSER, email="eva@example.org"), one(DATABASE, email="ana@example.org")])

    assert result.session.email == "ana@example.org"
    assert met(result) == [("email", False)]


def test_an_older_copy_contradicts_no_address_of_the_database() -> None:
    result = merge([one(COPY, email="old@example.org"), one(DATABASE, email="ana@example.org")])

    assert result.session.email == "ana@example.org"
    assert not result.conflicts


def test_a_copy_speaks_for_the_store_that_is_not_there() -> None:
    result = merge([one(COPY, email="ana@example.org"), one(MEMORY, email="eva@example.org")])

    assert met(result) == [("email", True)]


# Status and step


@pytest.mark.parametrize(
    ("stores", "status"),
    [
        ([(DATABASE, "pending"), (COOKIE, "processing")], "processing"),
        ([(DATABASE, "pending"), (UNIFIED, "completed")], "completed"),
        ([(DATABASE, "failed"), (UNIFIED, "pending")], "pending"),
        ([(UNIFIED, "expired"), (DATABASE, "pending")], "expired"),
        ([(UNIFIED, "expired"), (DATABASE, "processing")], "expired"),
        ([(UNIFIED, "expired"), (DATABASE, "completed")], "completed"),
        ([(DATABASE, "failed"), (COPY, "processing")], "failed"),
        ([(DATABASE, "pending"), (COPY, "processing")], "pending"),
        ([(MEMORY, "pending"), (COPY, "processing")], "processing"),
        ([(DATABASE, "pending"), (BROWSER, "completed")], "pending"),
    ],
)
def test_the_status_is_the_furthest_that_is_trusted(
    stores: list[tuple[Store, str]], status: str
) -> None:
    assert merged(*(one(store, status=said) for store, said in stores)).status == status


@pytest.mark.parametrize("ended", ["failed", "expired"])
def test_a_payment_that_another_store_knows_takes_an_ended_order_back(ended: str) -> None:
    session = merged(one(DATABASE, status=ended), one(COOKIE, **PAID))

    assert (session.status, session.current_step) == ("processing", "upsell-1")


def test_a_copy_that_knows_of_a_payment_is_not_taken_back() -> None:
    session = merged(one(DATABASE), one(COPY, **PAID))

    assert (session.status, session.current_step) == ("processing", "upsell-1")


def test_a_failed_order_that_names_its_transaction_stays_failed() -> None:
    failed = one(DATABASE, status="failed", transaction_id="3029929089")

    assert merged(failed, one(COOKIE, **PAID)).status == "failed"


def test_a_paid_order_that_the_old_shop_expired_goes_on() -> None:
    assert merged(one(DATABASE, **{**PAID, "status": "expired"})).status == "processing"


def test_the_step_is_the_furthest_and_not_the_newest() -> None:
    further = one(DATABASE, current_step="upsell-2")
    newer = one(UNIFIED, current_step="upsell-1", updated_at=BORN + HOUR)

    assert merged(newer, further).current_step == "upsell-2"


def test_a_step_that_the_flow_does_not_know_is_behind_all() -> None:
    assert merged(one(UNIFIED, current_step="odd"), one(DATABASE)).current_step == "checkout"


@pytest.mark.parametrize(
    ("claim", "fields"),
    [
        (PAID, ["status", "current_step", "transaction_id"]),
        ({"vault_id": "9"}, ["vault_id"]),
        ({"amount": "1.00"}, ["amount"]),
        ({"products": [LAMP]}, ["products"]),
        ({"products": [{**SOIL, "price": "1.00"}]}, ["products"]),
        ({"upsells": {"accepted": [SERUM]}}, ["upsells"]),
        ({"upsells": {"declined": [SERUM]}}, ["upsells"]),
        ({"created_at": BORN - HOUR}, ["created_at"]),
        ({"products": [{"id": "SOIL", "quantity": 1}]}, []),
        ({"updated_at": BORN + HOUR, "expires_at": BORN, "status": "failed"}, []),
        ({"created_at": BORN + timedelta(microseconds=999)}, []),
    ],
)
def test_what_a_browser_claims_is_compared_and_never_copied(
    claim: dict[str, Any], fields: list[str]
) -> None:
    known = one(DATABASE, products=[SOIL], amount="12.50")

    result = merge([known, one(BROWSER, **claim)])

    assert met(result) == [(field, False) for field in fields]
    assert result.session == known.session


def test_a_browser_that_lags_behind_claims_nothing() -> None:
    known = one(DATABASE, **PAID, vault_id="1", upsells={"accepted": [SERUM]}, products=[SOIL])

    assert not merge([known, one(BROWSER)]).conflicts


# Offers


def test_the_answers_of_all_stores_count() -> None:
    first = one(UNIFIED, upsells={"accepted": ["a"], "declined": ["b"]})
    second = one(DATABASE, upsells={"accepted": ["c"], "declined": ["b", "d"]})

    upsells = merged(second, first).upsells

    assert (upsells.accepted, upsells.declined) == (("a", "c"), ("b", "d"))


def test_declined_wins_over_an_accepted_one_without_proof() -> None:
    taken = one(UNIFIED, upsells={"accepted": [SERUM], "details": {SERUM: {"amount": 5}}})

    result = merge([taken, one(DATABASE, upsells={"declined": [SERUM]})])

    assert (result.session.upsells.accepted, result.session.upsells.declined) == ((), (SERUM,))
    assert met(result) == [("upsells", False)]


def test_an_older_copy_refuses_nothing_that_the_database_has_as_accepted_by_now() -> None:
    now, before = {"accepted": [SERUM]}, {"declined": [SERUM, "upsell-2-pot"]}

    result = merge([one(DATABASE, upsells=now), one(COPY, upsells=before)])

    assert result.session.upsells.accepted == (SERUM,)
    assert result.session.upsells.declined == ("upsell-2-pot",)
    assert not result.conflicts


def test_what_the_database_has_as_declined_by_now_is_declined() -> None:
    now, before = {"declined": [SERUM]}, {"accepted": [SERUM]}

    found = merged(one(DATABASE, upsells=now), one(COPY, upsells=before)).upsells

    assert (found.accepted, found.declined) == ((), (SERUM,))


def test_a_transaction_proves_that_an_offer_was_taken() -> None:
    details = {SERUM: {"transactionId": "7"}}
    taken = one(COPY, upsells={"accepted": [SERUM], "details": details})

    result = merge([taken, one(DATABASE, upsells={"declined": [SERUM]})])

    assert (result.session.upsells.accepted, result.session.upsells.declined) == ((SERUM,), ())
    assert met(result) == [("upsells", False)]


def test_a_browsers_transaction_proves_nothing() -> None:
    claimed = {"accepted": [SERUM], "details": {SERUM: {"transactionId": "7"}}}

    result = merge([one(BROWSER, upsells=claimed), one(DATABASE, upsells={"declined": [SERUM]})])

    assert result.session.upsells.declined == (SERUM,)
    assert not result.session.upsells.accepted
    assert not result.session.upsells.details


def test_the_proof_of_an_offer_is_not_lost_behind_a_more_trusted_detail() -> None:
    plain = one(UNIFIED, upsells={"details": {SERUM: {"amount": 5}}})
    proof = one(COPY, upsells={"accepted": [SERUM], "details": {SERUM: {"transactionId": "7"}}})

    assert merged(plain, proof).upsells.details == {SERUM: {"transactionId": "7"}}


# References


def test_two_transactions_block() -> None:
    result = merge([one(DATABASE, transaction_id="1"), one(COOKIE, transaction_id="2")])

    assert result.session.transaction_id == "1"
    assert met(result) == [("transaction_id", True)]


def test_a_transaction_that_one_store_knows_is_no_contradiction() -> None:
    result = merge([one(DATABASE), one(COOKIE, **PAID)])

    assert result.session.transaction_id == PAID["transaction_id"]
    assert not result.conflicts


def test_two_vault_ids_without_a_time_block() -> None:
    result = merge([vault(DATABASE, "1"), vault(COOKIE, "2")])

    assert result.session.vault_id == "1"
    assert met(result) == [("vault_id", True)]


@pytest.mark.parametrize(
    ("stores", "vault_id", "blocks"),
    [
        ([vault(DATABASE, "1"), vault(COOKIE, "2", 5)], "2", False),
        ([vault(COOKIE, "1", 5), vault(MEMORY, "2", 6, said_by=MEMORY)], "2", False),
        ([vault(COOKIE, "1", 6), vault(MEMORY, "2", 5, said_by=MEMORY)], "1", False),
        ([vault(COOKIE, "1", 5), vault(MEMORY, "2", 5, said_by=MEMORY)], "1", True),
        ([vault(COOKIE, "1", "soon"), vault(MEMORY, "2")], "1", True),
        ([vault(COOKIE, "1", True), vault(MEMORY, "2")], "1", True),
        ([vault(UNIFIED, "1"), vault(COOKIE, "2", 5)], "1", True),
        ([vault(UNIFIED, "1", 5), vault(COOKIE, "2", 6)], "2", False),
        ([vault(DATABASE, "1"), vault(COPY, "2", 5)], "2", False),
        ([vault(UNIFIED, "1", 5), vault(COOKIE, "2", 5), vault(MEMORY, "3")], "1", True),
        ([vault(UNIFIED, "1", 9, said_by=BROWSER), vault(COOKIE, "2", 5)], "1", True),
    ],
)
def test_the_newest_update_decides_on_the_vault_id(
    stores: list[Candidate], vault_id: str, *, blocks: bool
) -> None:
    result = merge(stores)

    assert result.session.vault_id == vault_id
    assert met(result) == [("vault_id", blocks)]


def test_the_update_that_decided_stays_known_and_decides_again() -> None:
    stores = [vault(COOKIE, "1", 1), vault(MEMORY, "2", 5, said_by=MEMORY)]
    newest = vault(UNIFIED, "1", 9)

    once = merged(newest, *stores)

    assert once.vault_id == "1"
    assert once.metadata["legacy"]["cookie"] == {"lastVaultUpdate": 9}
    assert merged(Candidate(store=UNIFIED, session=once), *stores) == once


def test_an_older_copys_vault_id_contradicts_nobody() -> None:
    result = merge([vault(DATABASE, "1"), vault(COPY, "2")])

    assert result.session.vault_id == "1"
    assert not result.conflicts


def test_the_token_of_the_payment_goes_with_it() -> None:
    token = one(DATABASE, payment_token="tok_1")

    assert merged(token).payment_token == "tok_1"
    assert merged(token, one(COOKIE, **PAID)).payment_token is None


# The order


def test_the_sum_is_of_whose_products_they_are() -> None:
    paid = one(UNIFIED, amount="99.00", currency="EUR")
    order = one(DATABASE, products=[SOIL], amount="12.50", currency="USD")

    session = merged(paid, order)

    assert [product.id for product in session.products] == ["SOIL"]
    assert (session.amount, session.currency) == (Decimal("12.50"), "USD")


def test_without_products_the_most_trusted_sum_counts() -> None:
    session = merged(one(UNIFIED), one(DATABASE, amount="12.50", currency="EUR"))

    assert (session.amount, session.currency) == (Decimal("12.50"), "EUR")


def test_a_browsers_products_come_last_and_without_prices() -> None:
    browser = one(BROWSER, products=[{**SOIL, "extra": {"discount": 1}}], amount="1.00")

    session = merged(one(COOKIE), browser)

    (product,) = session.products
    assert (product.id, product.quantity, product.price, product.extra) == ("SOIL", 1, None, {})
    assert session.amount is None


# The customer and what stores keep


def test_of_the_customer_the_newest_value_counts_key_by_key() -> None:
    old = one(DATABASE, customer={"firstName": "Ana", "phone": "1"}, updated_at=BORN)
    new = one(COOKIE, customer={"firstName": "Eva", "phone": ""}, updated_at=BORN + HOUR)

    assert merged(old, new).customer == {"firstName": "Eva", "phone": "1"}


def test_of_the_same_age_the_most_trusted_counts() -> None:
    said = [one(COOKIE, customer={"firstName": "Eva"}), one(DATABASE, customer={"firstName": "A"})]

    assert merged(*said).customer == {"firstName": "A"}


def test_a_browser_adds_to_the_customer_what_nobody_trusted_knows() -> None:
    known = one(DATABASE, customer={"firstName": "Ana", "phone": "", "optIn": False})
    claims = {"firstName": "Eva", "phone": "1", "city": "Ulm", "optIn": True}
    later = one(BROWSER, customer=claims, updated_at=BORN + HOUR)

    assert merged(known, later).customer == {
        "firstName": "Ana",
        "phone": "1",
        "city": "Ulm",
        "optIn": False,
    }


def test_objects_of_the_customer_are_not_merged_into_each_other() -> None:
    old = one(DATABASE, customer={"address": {"city": "Ulm", "zip": "1"}})
    new = one(COOKIE, customer={"address": {"city": "Rom"}}, updated_at=BORN + HOUR)

    assert merged(old, new).customer == {"address": {"city": "Rom"}}


def test_each_store_speaks_for_what_it_keeps() -> None:
    row = {"database": {"columns": {"a": "old"}}, "cookie": {"claims": {"x": 1}}}
    own = one(UNIFIED, metadata={"note": "ours", "legacy": row})
    table = one(DATABASE, metadata={"legacy": {"database": {"columns": {"a": "new"}}}})

    assert merged(own, table).metadata == {
        "note": "ours",
        "legacy": {"database": {"columns": {"a": "new"}}, "cookie": {"claims": {"x": 1}}},
    }


def test_what_a_store_keeps_no_more_is_gone() -> None:
    own = one(COPY, metadata={"legacy": {"database": {"columns": {"a": "old"}}}})

    assert merged(own, one(DATABASE)).metadata == {}


def test_a_browser_speaks_for_no_other_store() -> None:
    claim = {"cookie": {"lastVaultUpdate": 9}, "local_storage": {"fields": {"x": 1}}}

    session = merged(one(COOKIE), one(BROWSER, metadata={"a": 1, "legacy": claim}))

    assert session.metadata == {"legacy": {"local_storage": {"fields": {"x": 1}}}}


# Times and version


def test_the_earliest_birth_the_latest_change_and_the_latest_end() -> None:
    early = one(COOKIE, created_at=BORN - HOUR, updated_at=BORN, expires_at=BORN + HOUR)
    late = one(DATABASE, updated_at=BORN + 2 * HOUR, expires_at=BORN + 3 * HOUR)

    session = merged(late, early)

    assert session.created_at == BORN - HOUR
    assert session.updated_at == BORN + 2 * HOUR
    assert session.expires_at == BORN + 3 * HOUR


def test_no_end_is_past_the_absolute_limit() -> None:
    assert merged(one(DATABASE, expires_at=BORN + 90 * HOUR)).expires_at == BORN + 24 * HOUR


def test_our_own_end_that_staff_set_stays() -> None:
    staff = one(UNIFIED, expires_at=BORN + 90 * HOUR)

    assert merged(staff, one(DATABASE)).expires_at == BORN + 90 * HOUR


def test_a_receipts_end_stays_though_the_session_is_older_than_we_knew() -> None:
    receipt = one(UNIFIED, status="completed", expires_at=BORN + 20 * HOUR)
    older = one(DATABASE, created_at=BORN - 10 * HOUR, expires_at=BORN)

    assert merged(receipt, older).expires_at == BORN + 20 * HOUR


def test_our_own_end_within_its_limit_is_capped_by_the_earlier_birth() -> None:
    own = one(UNIFIED, expires_at=BORN + 24 * HOUR)
    older = one(DATABASE, created_at=BORN - 10 * HOUR, expires_at=BORN)

    assert merged(own, older).expires_at == BORN + 14 * HOUR


@pytest.mark.parametrize("row", [UNIFIED, COPY])
def test_the_version_is_our_own_rows(row: Store) -> None:
    assert merged(one(row, version=7), one(DATABASE)).version == 7
    assert merged(one(DATABASE), one(COOKIE)).version == 1
