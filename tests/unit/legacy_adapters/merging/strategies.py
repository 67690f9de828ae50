"""Copies of one session as its stores can hold them, for hypothesis."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from legacy_adapters.merging import Candidate
from legacy_adapters.stores import Store
from tests.sessions import BORN, snapshot

OFFERS = ("upsell-1-serum", "upsell-1-mask", "upsell-2-kit")
STATUSES = ("pending", "processing", "completed", "failed", "expired")
STEPS = ("checkout", "processing", "upsell-1", "upsell-2", "success", "unknown")
_OWN = {Store.UNIFIED, Store.COPY}
_OF_COOKIES = {Store.COOKIE, Store.MEMORY_CACHE}

_emails = st.sampled_from(["ana@example.org", "Ana@Example.org", "eva@example.org"])
_ids = st.sampled_from([None, "1111111111", "2222222222"])
_customers = st.one_of(
    st.none(),
    st.dictionaries(
        st.sampled_from(["firstName", "phone", "address"]),
        st.sampled_from(["", None, "Ana", "Eva", 0, False, [], {}, {"city": "Ulm"}]),
        max_size=3,
    ),
)
_products = st.lists(
    st.builds(
        lambda name, price: {"id": name, "quantity": 1, "price": price},
        st.sampled_from(["SOIL", "LAMP"]),
        st.sampled_from([None, "12.50", "1.00"]),
    ),
    max_size=2,
)
_offers = st.lists(st.sampled_from(OFFERS), unique=True, max_size=3)
_details = st.dictionaries(
    st.sampled_from(OFFERS), st.sampled_from([{"amount": 5}, {"transactionId": "9"}]), max_size=2
)
_minutes = st.integers(0, 3).map(lambda minutes: timedelta(minutes=minutes))
_days = st.integers(0, 3).map(lambda days: timedelta(days=days))


@st.composite
def candidates(draw: st.DrawFn, store: Store) -> Candidate:
    """One copy, with the fields that its store has a place for."""
    return Candidate(store=store, session=snapshot(**_fields(draw, store)))


def _fields(draw: st.DrawFn, store: Store) -> dict[str, Any]:
    created_at = BORN + draw(_minutes)
    fields: dict[str, Any] = {
        "email": draw(_emails if store not in _OWN else st.none() | _emails),
        "customer": draw(_customers),
        "transaction_id": draw(_ids),
        "vault_id": draw(_ids),
        "created_at": created_at,
        "updated_at": created_at + draw(_minutes),
        "expires_at": created_at + draw(_days),
        "metadata": {"legacy": draw(_kept(store))},
    }
    if store in _OF_COOKIES:
        is_paid = fields["transaction_id"] is not None
        position = ("processing", "upsell-1") if is_paid else ("pending", "checkout")
        return fields | dict(zip(("status", "current_step"), position, strict=True))
    own = {"note": draw(st.sampled_from(["a", "b"]))} if store in _OWN else {}
    return fields | {
        "status": draw(st.sampled_from(STATUSES)),
        "current_step": draw(st.sampled_from(STEPS)),
        "products": draw(_products),
        "amount": draw(st.sampled_from([None, "12.50", "25.00"])),
        "currency": draw(st.sampled_from(["USD", "EUR"])),
        "payment_token": draw(st.sampled_from([None, "tok_1", "tok_2"])),
        "upsells": {
            "accepted": draw(_offers),
            "declined": draw(_offers),
            "details": draw(_details) if store in _OWN else {},
        },
        "metadata": fields["metadata"] | own,
        "version": draw(st.integers(1, 9)) if store in _OWN else 1,
    }


def _kept(store: Store) -> st.SearchStrategy[dict[str, Any]]:
    """What a copy keeps for its store; our own row, what it keeps for all."""
    cookie = st.fixed_dictionaries(
        {}, optional={"claims": st.just({"x": 1}), "lastVaultUpdate": st.integers(1, 3)}
    )
    table = st.fixed_dictionaries({}, optional={"columns": st.sampled_from([{"a": 1}, {"b": 2}])})
    kinds = {Store.DATABASE: table, Store.COOKIE: cookie, Store.MEMORY_CACHE: cookie}
    if store in _OWN:
        return st.fixed_dictionaries({}, optional={str(each): kinds[each] for each in kinds})
    kind = cookie if store is Store.LOCAL_STORAGE else kinds[store]
    return kind.map(lambda kept: {str(store): kept} if kept else {})


def several(*stores: Store, min_size: int = 1) -> st.SearchStrategy[list[Candidate]]:
    """Some copies of any of these stores, perhaps several of one store."""
    each = st.sampled_from(stores or tuple(Store)).flatmap(candidates)
    return st.lists(each, min_size=min_size, max_size=5)


def of_different_stores() -> st.SearchStrategy[list[Candidate]]:
    """At most one copy of each store, and of our own row one or none."""
    stores = st.lists(st.sampled_from(list(Store)), min_size=1, max_size=5, unique=True)
    one_row = stores.filter(lambda found: not set(found) >= _OWN)
    return one_row.flatmap(lambda found: st.tuples(*map(candidates, found)).map(list))
