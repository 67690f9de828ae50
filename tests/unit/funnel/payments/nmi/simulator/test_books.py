"""The simulator's books: exact under threads, and on paper."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.payments.nmi.simulator.books import Books, BooksError
from funnel.payments.nmi.simulator.journal import JournalError
from funnel.payments.nmi.simulator.records import Charge, wire_amount

if TYPE_CHECKING:
    from pathlib import Path

WANTED = Charge(
    order_id="fs-1",
    amount=Decimal("25.30"),
    asked=Decimal("25.30"),
    currency="USD",
    card="411111******1111",
    card_type="visa",
    vault_id="v-1",
    stores_card=True,
)


def dawdling() -> float:
    """Tell the time, and let another thread go on in the middle of what asks for it."""
    time.sleep(0.001)
    return 1_000.0


def in_threads(count: int, work: object) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_many_threads_lose_no_charge_and_share_no_transaction_id() -> None:
    books = Books()
    wanted = replace(WANTED, stores_card=False, amount=Decimal("0.10"))

    in_threads(8, lambda: [books.charge(wanted) for _ in range(50)])

    assert books.totals() == {"USD": Decimal("40.00")}
    assert len({each.transaction_id for each in books.transactions}) == 400


def test_of_two_equal_sales_at_once_the_window_lets_one_through() -> None:
    books, refused = Books(now=dawdling), []

    def charge() -> None:
        try:
            books.charge(replace(WANTED, stores_card=False), dup_seconds=60)
        except BooksError as exc:
            refused.append(str(exc))

    in_threads(16, charge)

    assert len(books.charges) == 1
    assert refused == ["Duplicate transaction REFID:{id}"] * 15


def test_the_window_ends() -> None:
    clock = [1_000.0]
    books = Books(now=lambda: clock[0])
    wanted = replace(WANTED, stores_card=False)
    books.charge(wanted, dup_seconds=60)

    clock[0] += 59
    with pytest.raises(BooksError):
        books.charge(wanted, dup_seconds=60)
    clock[0] += 1
    books.charge(wanted, dup_seconds=60)

    assert len(books.charges) == 2


def test_refunds_at_once_never_exceed_the_sale() -> None:
    books = Books(now=dawdling)
    sale = books.charge(WANTED)

    def refund() -> None:
        for _ in range(10):
            try:
                books.refund(sale.transaction_id, Decimal("1.00"))
            except BooksError:
                return

    in_threads(8, refund)

    assert books.totals() == {"USD": Decimal("0.30")}


def test_books_are_read_again_as_they_were(tmp_path: Path) -> None:
    first = Books(tmp_path / "books")
    sale = first.charge(WANTED)
    first.refund(sale.transaction_id, Decimal("5.00"), order_id="fr-1")
    first.decline(replace(WANTED, order_id="fs-2"))
    first.void(first.charge(replace(WANTED, order_id="fs-3", stores_card=False)).transaction_id)
    first.settle(sale.transaction_id)
    first.close()

    with closing(Books(tmp_path / "books")) as second:
        assert second.transactions == first.transactions
        assert second.stored_card("v-1") == WANTED.card
        assert second.totals() == {"USD": Decimal("20.30")}
        assert int(second.next_id()) > max(int(each.transaction_id) for each in first.transactions)
    assert (tmp_path / "books").stat().st_mode & 0o077 == 0


def test_what_was_forgotten_stays_forgotten(tmp_path: Path) -> None:
    first = Books(tmp_path / "books")
    first.charge(WANTED)
    first.forget_card("v-1")
    assert first.stored_card("v-1") is None
    first.reset()
    first.charge(replace(WANTED, order_id="fs-2", vault_id="v-2"))
    first.close()

    with closing(Books(tmp_path / "books")) as second:
        assert [each.order_id for each in second.transactions] == ["fs-2"]
        assert (second.stored_card("v-1"), second.stored_card("v-2")) == (None, WANTED.card)


@pytest.mark.parametrize("torn", [b'{"transact', b"\x00\xff", b'{"vault": "v-9", "card": "x"}'])
def test_a_torn_last_line_is_dropped_and_written_over(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "books"
    first = Books(path)
    first.charge(WANTED)
    first.close()
    with path.open("ab") as file:
        file.write(torn)

    second = Books(path)
    second.charge(replace(WANTED, order_id="fs-2", vault_id="v-2"))
    second.close()

    with closing(Books(path)) as third:
        assert [each.order_id for each in third.transactions] == ["fs-1", "fs-2"]
        assert third.stored_card("v-9") is None


def test_two_simulators_do_not_share_one_file(tmp_path: Path) -> None:
    path = tmp_path / "books"

    with closing(Books(path)), pytest.raises(JournalError, match="in use"):
        Books(path)
    Books(path).close()


def test_damage_before_the_end_is_said_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "books"
    path.write_bytes(b'{"reset": true}\nnonsense\n{"reset": true}\n')

    with pytest.raises(JournalError, match="books, line 2:"):
        Books(path)


@given(st.decimals(min_value="0.01", max_value=10**9, places=2))
def test_amounts_are_written_with_two_decimals_and_exactly(amount: Decimal) -> None:
    written = wire_amount(amount)

    assert Decimal(written) == amount
    assert written[-3] == "."


def test_an_amount_of_three_decimals_keeps_them() -> None:
    assert wire_amount(Decimal("1.234")) == "1.234"
    assert wire_amount(Decimal(2500)) == "2500.00"
    assert wire_amount(Decimal("1.230")) == "1.23"
