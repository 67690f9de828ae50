"""A row of the old shop as a session: every quirk that rows are known for."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legacy_adapters.database.mapping import COLUMNS, to_session
from legacy_adapters.exceptions import UnreadableRecordError
from legacy_adapters.fields import reading as readers
from sessions_unified.flow import get_flow
from sessions_unified.snapshot import Product
from sessions_unified.tiers.rows import from_row, to_params
from tests.json_values import json_values
from tests.legacy import paid_row, row

if TYPE_CHECKING:
    from sessions_unified.snapshot import SessionSnapshot


def mapped(data: dict[str, Any], *, currency: str = "USD") -> SessionSnapshot:
    return to_session(data, flow=get_flow(), currency=currency)


def reason(data: dict[str, Any]) -> str:
    with pytest.raises(UnreadableRecordError) as caught:
        mapped(data)
    return caught.value.reason


def stored(session: SessionSnapshot) -> SessionSnapshot:
    """Return the session after its way through the columns, as text and JSON."""
    return from_row(to_params(session))


def test_a_plain_row_becomes_a_session_field_by_field() -> None:
    session = mapped(row())

    assert (session.id, session.email) == ("ws_mwo5wwds_2", "ana@example.org")
    assert (session.status, session.current_step) == ("pending", "checkout")
    assert session.customer == {"firstName": "Ana"}
    assert session.products == (
        Product(id="SOIL", name="Living Soil 5L", price=Decimal("12.50"), quantity=1),
    )
    assert (str(session.amount), session.currency) == ("12.50", "USD")
    assert session.created_at == datetime(2026, 11, 19, 23, 9, 26, 128_000, tzinfo=UTC)
    assert session.metadata == {}
    assert session.version == 1
    assert not session.is_paid


class TestUnreadable:
    @pytest.mark.parametrize(
        ("given_id", "why"),
        [
            (None, "id is missing"),
            ("", "id is missing"),
            ("sess_1", "id does not have the form ws_<time>_<random>"),
            ("ws_mwo5wwds_", "id does not have the form ws_<time>_<random>"),
            ("ws_MWO5_abc", "id does not have the form ws_<time>_<random>"),
            (" ws_mwo5wwds_2", "id does not have the form ws_<time>_<random>"),
            (17, "id does not have the form ws_<time>_<random>"),
        ],
    )
    def test_the_id(self, given_id: Any, why: str) -> None:
        assert reason(row(id=given_id)) == why

    @pytest.mark.parametrize("length", range(1, 10))
    def test_a_short_random_part_is_an_id(self, length: int) -> None:
        assert mapped(row(id=f"ws_mwo5wwds_{'a' * length}")).id.endswith("a" * length)

    @pytest.mark.parametrize(
        ("email", "why"),
        [
            (None, "email is missing"),
            ("", "email is missing"),
            ("   ", "email is missing"),
            (12, "email is missing"),
            ("ana.example.org", "email has no @"),
            ("@example.org", "email has nothing before or after its @, or an empty part"),
            ("ana@", "email has nothing before or after its @"),
            ("ana@example..org", "email has nothing before or after its @, or an empty part"),
            ("ana maria@example.org", "email holds a second @, a space or a control character"),
            ("ana@b@example.org", "email holds a second @, a space or a control character"),
            ("a\x00na@example.org", "email holds a second @, a space or a control character"),
            ("a\ud800@example.org", "email holds a second @, a space or a control character"),
            (f"{'a' * 320}@example.org", "email is longer than an address can be"),
        ],
    )
    def test_the_email(self, email: Any, why: str) -> None:
        found = reason(row(email=email))

        assert found.startswith(why)

    def test_a_reason_never_quotes_the_email(self) -> None:
        assert "secret" not in reason(row(email="secret.person"))

    @pytest.mark.parametrize(
        ("status", "why"),
        [
            (None, "status is missing"),
            ("", "status is missing"),
            ("initiated", "status 'initiated' is none of pending, processing, completed, "),
            ("PENDING", "status 'PENDING' is none of"),
            (["pending"], "status ['pending'] is none of"),
        ],
    )
    def test_the_status(self, status: Any, why: str) -> None:
        assert reason(row(status=status)).startswith(why)

    @pytest.mark.parametrize("name", ["created_at", "updated_at", "expires_at"])
    @pytest.mark.parametrize(
        ("value", "why"),
        [
            (None, "is missing"),
            ("", "is missing"),
            ("yesterday", "is no date: 'yesterday'"),
            ("infinity", "is no date: 'infinity'"),
            ("2026-02-30T00:00:00+00:00", "is no date"),
            ("0044-03-15T00:00:00+00:00 BC", "is no date"),
            ("12026-03-15T00:00:00+00:00", "is no date"),
            ("0001-01-01T00:00:00+14:00", "is no date"),
            ("0001-01-01T00:00:00+00:00", "is out of range"),
            ("9999-12-31T23:59:59+00:00", "is out of range"),
            (1795132800000, "is no date"),
            ({}, "is no date"),
        ],
    )
    def test_the_dates(self, name: str, value: Any, why: str) -> None:
        assert reason(row(**{name: value})).startswith(f"{name} {why}")


class TestEmail:
    @pytest.mark.parametrize(
        "email",
        ["Buyer1@exämple.org", "b.uyer+tag2@mail.example.co.uk", "søren@例え.jp", "root@localhost"],
    )
    def test_it_is_kept_as_it_is(self, email: str) -> None:
        assert mapped(row(email=email)).email == email

    def test_it_is_composed_and_trimmed(self) -> None:
        assert mapped(row(email=" zoe\u0308@example.org\n")).email == "zoë@example.org"


class TestDates:
    def test_another_zone_becomes_utc(self) -> None:
        session = mapped(row(created_at="2026-11-19T23:09:26+05:30"))

        assert session.created_at == datetime(2026, 11, 19, 17, 39, 26, tzinfo=UTC)
        assert session.created_at.tzinfo is UTC

    def test_without_a_zone_it_is_utc(self) -> None:
        session = mapped(row(created_at="2026-11-19T23:09:26"))

        assert session.created_at == datetime(2026, 11, 19, 23, 9, 26, tzinfo=UTC)

    def test_an_end_before_the_beginning_is_kept(self) -> None:
        session = mapped(row(expires_at="2020-01-01T00:00:00+00:00"))

        assert session.expires_at < session.created_at


class TestCustomer:
    def test_it_is_kept_whole(self) -> None:
        info = {
            "firstName": "李",
            "address": {"zip": "10000"},
            "marketingOptIn": True,
            "x": [1, {}],
        }

        assert mapped(row(customer_info=info)).customer == {**info, "x": (1, {})}

    def test_none_is_none(self) -> None:
        assert mapped(row(customer_info=None)).customer is None
        assert mapped(row(customer_info={})).customer == {}

    @pytest.mark.parametrize("info", ["just text", 7, [1, 2], True])
    def test_what_is_no_object_is_kept_under_metadata(self, info: Any) -> None:
        session = mapped(row(customer_info=info))

        assert session.customer is None
        assert json.loads(json.dumps(session.metadata)) == {
            "legacy": {"database": {"customerInfo": info}}
        }

    def test_json_inside_a_json_string_is_read(self) -> None:
        assert mapped(row(customer_info='{"firstName": "Zoë"}')).customer == {"firstName": "Zoë"}

    def test_what_postgresql_cannot_store_is_spelled_out(self) -> None:
        session = mapped(row(customer_info={"a\x00": "x\x00y\ud800"}))

        assert session.customer == {"a\\u0000": "x\\u0000y\\ud800"}

    def test_numbers_no_reader_could_hold_are_kept_as_text(self) -> None:
        info = {"big": Decimal("1e400"), "small": Decimal("1e-400"), "ok": 2**70}

        assert mapped(row(customer_info=info)).customer == {
            "big": "1E+400",
            "small": "1E-400",
            "ok": 2**70,
        }

    def test_json_of_absurd_depth_is_kept_as_text(self) -> None:
        deep: Any = "end"
        for _ in range(200):
            deep = {"in": deep}

        customer = stored(mapped(row(customer_info=deep))).customer

        assert '"in": {"in"' in str(customer)
        assert "end" in str(customer)


class TestProducts:
    def test_prices_are_exact_from_numbers_and_text(self) -> None:
        lines = [
            {"id": "A", "price": Decimal("19.99"), "quantity": 1},
            {"id": "B", "price": "49.97", "quantity": 2},
            {"id": "C", "price": 89, "quantity": 3},
            {"id": "D", "price": 0.1, "quantity": 4},
        ]

        prices = [str(product.price) for product in mapped(row(products=lines)).products]

        assert prices == ["19.99", "49.97", "89.00", "0.10"]

    def test_a_float_that_is_no_price_is_rounded_and_kept(self) -> None:
        price = Decimal("0.30000000000000004")

        (product,) = mapped(row(products=[{"id": "A", "price": price}])).products

        assert product.price == Decimal("0.30")
        assert product.extra == {"price": price}

    def test_the_currency_decides_the_decimals(self) -> None:
        session = mapped(row(amount="500", products=[{"id": "A", "price": 500}]), currency="JPY")

        assert (str(session.amount), str(session.products[0].price)) == ("500", "500")
        assert session.currency == "JPY"

    def test_unknown_keys_are_kept(self) -> None:
        line = {"id": "A", "name": "Pot", "price": 1, "quantity": 2, "size": {"cm": [10, 12]}}

        (product,) = mapped(row(products=[line])).products

        assert product.extra == {"size": {"cm": (10, 12)}}

    def test_the_same_product_twice_stays_two_lines(self) -> None:
        line = {"id": "SOIL", "price": 12.5, "quantity": 2}

        assert len(mapped(row(products=[line, line])).products) == 2

    @pytest.mark.parametrize(
        ("quantity", "count"), [("2", 2), (2.0, 2), (Decimal(3), 3), (0, 0), (-1, -1), (None, 1)]
    )
    def test_a_whole_quantity_is_kept(self, quantity: Any, count: int) -> None:
        (product,) = mapped(row(products=[{"id": "A", "quantity": quantity}])).products

        assert (product.quantity, product.extra) == (count, {})

    @pytest.mark.parametrize("quantity", ["many", 1.5, True, [2], 10**12, "1e999"])
    def test_another_quantity_counts_as_one_and_is_kept(self, quantity: Any) -> None:
        (product,) = mapped(row(products=[{"id": "A", "quantity": quantity}])).products

        assert product.quantity == 1
        assert json.loads(json.dumps(product.extra)) == {"quantity": quantity}

    @pytest.mark.parametrize("price", ["free", "12,50", True, [1], "NaN", "Infinity", "1e15"])
    def test_a_price_that_is_none_is_kept_beside(self, price: Any) -> None:
        (product,) = mapped(row(products=[{"id": "A", "price": price}])).products

        assert product.price is None
        assert json.loads(json.dumps(product.extra)) == {"price": price}

    def test_an_odd_name_is_kept_beside(self) -> None:
        (product,) = mapped(row(products=[{"id": "A", "name": {"en": "Pot"}}])).products

        assert (product.name, product.extra) == ("", {"name": {"en": "Pot"}})

    def test_a_number_is_an_id(self) -> None:
        (product,) = mapped(row(products=[{"id": 17}])).products

        assert product.id == "17"

    @pytest.mark.parametrize("line", [None, "SOIL", 5, {}, {"id": ""}, {"id": None}, {"id": True}])
    def test_a_line_without_a_product_is_kept_with_its_position(self, line: Any) -> None:
        session = mapped(row(products=[{"id": "A"}, line]))

        assert [product.id for product in session.products] == ["A"]
        assert session.metadata == {
            "legacy": {"database": {"products": ({"position": 1, "line": line},)}}
        }

    @pytest.mark.parametrize("products", [{"id": "A"}, "none", 3])
    def test_what_is_no_list_is_kept(self, products: Any) -> None:
        session = mapped(row(products=products))

        assert session.products == ()
        assert session.metadata == {"legacy": {"database": {"products": products}}}

    def test_none_is_no_products(self) -> None:
        assert mapped(row(products=None)).products == ()
        assert mapped(row(products=None)).metadata == {}

    def test_json_inside_json_strings_is_read(self) -> None:
        assert mapped(row(products='[{"id": "A", "price": 0.1}]')).products[0].price == Decimal(
            "0.10"
        )
        assert mapped(row(products=['{"id": "A"}'])).products[0].id == "A"


class TestMoney:
    def test_no_amount_stays_none(self) -> None:
        assert mapped(row(amount=None)).amount is None

    def test_a_js_float_is_rounded_and_kept(self) -> None:
        session = mapped(row(amount=Decimal("59.970000000000006")))

        assert session.amount == Decimal("59.97")
        assert str(session.metadata["legacy"]["database"]["amount"]) == "59.970000000000006"

    @pytest.mark.parametrize("amount", ["NaN", "Infinity", Decimal("1e15"), True])
    def test_what_no_amount_can_be_is_kept(self, amount: Any) -> None:
        session = mapped(row(amount=amount))

        assert session.amount is None
        assert session.metadata["legacy"]["database"]["amount"] == amount

    @pytest.mark.parametrize("empty", [None, "", "  ", False, True])
    def test_empty_ids_are_none(self, empty: Any) -> None:
        session = mapped(row(vault_id=empty, transaction_id=empty, payment_token=empty))

        assert (session.vault_id, session.transaction_id, session.payment_token) == (None,) * 3
        assert not session.is_paid

    @pytest.mark.parametrize("status", ["processing", "completed", "failed", "expired"])
    def test_a_payment_token_is_kept_only_while_it_can_be_used(self, status: str) -> None:
        session = mapped(row(status=status, payment_token="tok_1"))

        assert session.payment_token is None
        assert "tok_1" not in str(session.metadata)
        assert mapped(row(payment_token="tok_1")).payment_token == "tok_1"


class TestStep:
    @pytest.mark.parametrize(
        ("fields", "step"),
        [
            ({"status": "pending"}, "checkout"),
            ({"status": "failed"}, "checkout"),
            ({"status": "expired"}, "checkout"),
            ({"status": "processing"}, "processing"),
            ({"status": "processing", "transaction_id": "1"}, "upsell-1"),
            ({"status": "pending", "transaction_id": "1"}, "upsell-1"),
            ({"status": "failed", "transaction_id": "1"}, "upsell-1"),
            ({"status": "completed"}, "success"),
            ({"status": "completed", "transaction_id": "1"}, "success"),
        ],
    )
    def test_status_and_payment_prove_it(self, fields: dict[str, Any], step: str) -> None:
        assert mapped(row(current_step="upsell-3", **fields)).current_step == step

    @pytest.mark.parametrize(
        ("accepted", "declined", "step"),
        [
            (["upsell-1-serum"], [], "upsell-2"),
            ([], ["upsell-1-serum"], "upsell-1"),
            ([], ["upsell-1-serum", "upsell-1-bundle"], "upsell-1"),
            (["upsell-2-lamp"], [], "upsell-2"),
            ([], ["upsell-2-lamp"], "upsell-2"),
            (["upsell-1-serum"], ["upsell-2-lamp"], "upsell-2"),
            (["upsell-10-other"], ["upsell-1"], "upsell-1"),
            (["something"], [], "upsell-1"),
        ],
    )
    def test_answered_offers_prove_it(
        self, accepted: list[str], declined: list[str], step: str
    ) -> None:
        given_row = paid_row(
            current_step="upsell-3", upsells_accepted=accepted, upsells_declined=declined
        )

        assert mapped(given_row).current_step == step

    @pytest.mark.parametrize("original", ["upsell-3", None, "", "Checkout", 2])
    def test_the_original_is_kept(self, original: Any) -> None:
        session = mapped(row(current_step=original))

        assert session.current_step == "checkout"
        assert session.metadata == {"legacy": {"database": {"currentStep": original}}}

    @pytest.mark.parametrize(
        ("status", "step"),
        [("failed", "upsell-1"), ("failed", "processing"), ("pending", "success")],
    )
    def test_odd_but_known_combinations_are_kept(self, status: str, step: str) -> None:
        session = mapped(row(status=status, current_step=step))

        assert (session.status, session.current_step) == (status, step)
        assert session.metadata == {}


class TestUpsells:
    def test_lists_null_and_text_of_json(self) -> None:
        session = mapped(
            row(upsells_accepted='["upsell-1-serum", "upsell-1-serum"]', upsells_declined=None)
        )

        assert session.upsells.accepted == ("upsell-1-serum",)
        assert session.upsells.declined == ()

    def test_what_is_no_offer_is_kept(self) -> None:
        session = mapped(row(upsells_accepted=["upsell-1-serum", 3, None, {"name": "x"}, " "]))

        assert session.upsells.accepted == ("upsell-1-serum",)
        assert session.metadata == {
            "legacy": {"database": {"upsells_accepted": (3, None, {"name": "x"}, " ")}}
        }

    @pytest.mark.parametrize("name", ["id", "productCode"])
    def test_an_offer_that_was_taken_counts_however_it_was_written(self, name: str) -> None:
        serum = {name: "upsell-1-serum", "amount": 5}

        session = mapped(row(upsells_accepted=["upsell-1-pot", serum], upsells_declined=[serum]))

        assert session.upsells.accepted == ("upsell-1-pot", "upsell-1-serum")
        assert session.upsells.declined == ("upsell-1-serum",)
        kept = session.metadata["legacy"]["database"]
        assert kept == {"upsells_accepted": (serum,), "upsells_declined": (serum,)}

    def test_what_is_no_list_is_kept(self) -> None:
        session = mapped(row(upsells_declined={"upsell-1-serum": True}))

        assert session.metadata == {
            "legacy": {"database": {"upsells_declined": ({"upsell-1-serum": True},)}}
        }


class TestUnknownColumns:
    def test_they_are_kept(self) -> None:
        session = mapped(row(utm_source="newsletter", referrer=None, score=Decimal("1.5")))

        assert session.metadata == {
            "legacy": {
                "database": {"columns": {"utm_source": "newsletter", "score": Decimal("1.5")}}
            }
        }

    @pytest.mark.parametrize("name", ["company", "companyName", "COMPANY", "panel", "japan"])
    def test_an_innocent_name_is_no_secret(self, name: str) -> None:
        assert mapped(row(**{name: "x"})).metadata["legacy"]["database"]["columns"] == {name: "x"}

    @pytest.mark.parametrize("name", ["pan", "PAN", "pan_hash", "PAN_HASH", "fullPan", "panHash"])
    def test_a_cards_number_by_its_short_name_is_one(self, name: str) -> None:
        assert mapped(row(**{name: "x"})).metadata == {}

    @pytest.mark.parametrize("name", ["customer_vault_id", "cardNumber", "cvv", "auth_token"])
    def test_what_may_open_a_card_never_reaches_what_shoppers_see(self, name: str) -> None:
        assert mapped(row(**{name: "4111111111111111"})).metadata == {}


readable = st.fixed_dictionaries(
    {},
    optional={
        name: json_values
        for name in COLUMNS
        if name not in {"id", "email", "status", "created_at", "updated_at", "expires_at"}
    }
    | {"status": st.sampled_from(["pending", "processing", "completed", "failed", "expired"])},
)


def reading(data: dict[str, Any]) -> SessionSnapshot | str:
    """Return the session, or why there is none; anything else is raised."""
    try:
        return mapped(data)
    except UnreadableRecordError as exc:
        return exc.reason


@given(st.dictionaries(st.sampled_from(COLUMNS) | st.text(), json_values))
def test_arbitrary_json_raises_nothing_but_unreadable(data: dict[str, Any]) -> None:
    assert reading(data)


@given(st.sampled_from(COLUMNS), json_values)
def test_one_arbitrary_value_in_a_good_row_raises_nothing_else(name: str, value: Any) -> None:
    found = reading(paid_row(**{name: value}))

    if isinstance(found, str):
        assert found.startswith(name)
    else:
        assert stored(found).id == found.id


@given(readable)
def test_what_is_readable_survives_storage_and_is_stable(fields: dict[str, Any]) -> None:
    session = mapped(row(**fields))

    again = stored(session)

    assert stored(again) == again
    assert again.current_step in get_flow().steps
    assert [(product.id, product.quantity) for product in again.products] == [
        (product.id, product.quantity) for product in session.products
    ]


NUMBER = "4111111111111111"
SHOWN = "411111******1111"


def test_r41_card_data_is_masked_wherever_it_was_typed_and_said() -> None:
    session = mapped(
        row(
            customer_info={"firstName": f"Ana {NUMBER}", "cvv": "739", "address": {"n": [NUMBER]}},
            products=[{"id": "SOIL", "name": "Soil", "quantity": 1, "note": int(NUMBER)}],
            upsells_accepted=["serum"],
            current_step=f"at {NUMBER}",
            comment="4111 1111 1111 1111 exp 12/27",
            payment_token=NUMBER,
        )
    )

    said = [
        session.email,
        session.customer,
        session.products[0].extra,
        session.metadata,
        session.current_step,
    ]
    assert NUMBER not in repr(said)
    assert "739" not in repr(said)
    assert session.payment_token is None
    assert session.customer == {
        "firstName": f"Ana {SHOWN}",
        "cvv": "[card data removed]",
        "address": {"n": (SHOWN,)},
    }
    assert session.products[0].extra["note"] == SHOWN
    kept = session.metadata["legacy"]["database"]
    assert kept["columns"]["comment"] == f"{SHOWN} exp 12/27"
    assert kept["maskedCardData"] == (
        *("comment", "current_step", "customer_info", "payment_token", "products"),
    )


def test_r41_json_within_text_is_masked_too() -> None:
    session = mapped(row(customer_info=f'{{"firstName": "Ana", "n": {NUMBER}}}'))

    assert session.customer is not None
    assert session.customer["n"] == SHOWN


def test_a_gateways_references_are_not_touched_whatever_they_look_like() -> None:
    session = mapped(row(status="completed", vault_id=NUMBER, transaction_id=NUMBER))

    assert (session.vault_id, session.transaction_id) == (NUMBER, NUMBER)


@pytest.mark.parametrize("name", ["status", "created_at"])
@pytest.mark.parametrize("value", ["ana@example.org", "Ana Lopez", ["ana@example.org"]])
def test_why_a_record_is_unreadable_quotes_no_person(name: str, value: Any) -> None:
    said = reason(row(**{name: value})).lower()

    assert said.startswith(name)
    assert not [each for each in ("ana", "lopez", "example") if each in said]


def test_r41_why_a_record_is_unreadable_quotes_no_card_number() -> None:
    with pytest.raises(UnreadableRecordError) as raised:
        mapped(row(status=NUMBER))
    assert NUMBER not in str(raised.value)
    assert NUMBER not in reason(row(expires_at=NUMBER))


def test_long_names_are_looked_at_and_not_remembered() -> None:
    before = readers._is_secret.cache_info().currsize

    assert not readers.is_secret("x" * 10_000)
    assert readers.is_secret(f"{'x' * 10_000}vault")

    assert readers._is_secret.cache_info().currsize == before
