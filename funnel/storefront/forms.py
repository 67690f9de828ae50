"""What shoppers type: the quantities of an order, and who it is for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS

from funnel.catalog import CURRENCY, PRODUCTS, CatalogProduct, bumps
from funnel.storefront.countries import COUNTRIES
from funnel.storefront.orders import MAX_QUANTITY, money
from sessions_unified.validators import CARD_DATA

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from django.forms.boundfield import BoundField

    from sessions_unified.snapshot import SessionSnapshot

_HOME: Final = "US"

# Form field → where the session keeps it: in the customer, or in the customer's address.
_CUSTOMER: Final = {"first_name": "firstName", "last_name": "lastName", "phone": "phone"}
_ADDRESS: Final = {name: name for name in ("line1", "line2", "city", "state", "zip", "country")}


@dataclass(frozen=True, kw_only=True)
class Row:
    """A product of the shop's page, with the field of its quantity."""

    product: CatalogProduct
    price: str
    field: BoundField


class CardDataFreeForm(forms.Form):
    """Says of the fields that were emptied on their way here what was wrong (`posted`)."""

    def full_clean(self) -> None:
        """Validate, and name what was refused."""
        super().full_clean()
        for name in getattr(self.data, "refused", ()):
            field = name if name in self.fields else NON_FIELD_ERRORS
            self.errors[field] = self.error_class([CARD_DATA], renderer=self.renderer)


class OrderForm(CardDataFreeForm):
    """How many of each product. A product's field has its id as its name.

    An order bump has one too, for orders that are made once more; the shop's page shows none.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for product in PRODUCTS.values():
            self.fields[product.id] = _quantity(product)
        for bump_id in bumps():
            self.fields[bump_id] = forms.IntegerField(
                required=False, min_value=0, max_value=1, widget=forms.HiddenInput
            )

    @property
    def rows(self) -> Iterator[Row]:
        """The products, in the catalogue's order."""
        for product in PRODUCTS.values():
            price = money(product.price, CURRENCY)
            yield Row(product=product, price=price, field=self[product.id])

    @property
    def wanted(self) -> dict[str, int]:
        """Product id → quantity of what was chosen; after validation."""
        return {name: number for name, number in self.cleaned_data.items() if number}

    def clean(self) -> dict[str, Any]:
        """Refuse an empty order."""
        super().clean()
        if not self.errors and not self.wanted.keys() & PRODUCTS.keys():
            raise forms.ValidationError("Choose how many you want of at least one product.")
        return self.cleaned_data


def _quantity(product: CatalogProduct) -> forms.IntegerField:
    attrs = {"inputmode": "numeric", "autocomplete": "off", "placeholder": "0"}
    return forms.IntegerField(
        label=product.name,
        required=False,
        min_value=0,
        max_value=MAX_QUANTITY,
        widget=forms.NumberInput(attrs=attrs),
        error_messages={
            "invalid": f"{product.name}: type a whole number.",
            "min_value": f"{product.name}: the quantity cannot be below 0.",
            "max_value": f"{product.name}: we sell at most {MAX_QUANTITY} at a time.",
        },
    )


def _text(label: str, autocomplete: str, *, limit: int, missing: str = "") -> forms.CharField:
    """Return a text field; ``missing`` is the error where it must not be empty."""
    return forms.CharField(
        label=label,
        max_length=limit,
        required=bool(missing),
        error_messages={
            "required": missing,
            "max_length": f"{label}: use at most {limit} characters.",
        },
        widget=_TextInput(autocomplete),
    )


class _TextInput(forms.TextInput):
    """A text input that a browser can fill in; a telephone's keys for a telephone."""

    def __init__(self, autocomplete: str) -> None:
        super().__init__(attrs={"autocomplete": autocomplete})
        if autocomplete == "tel":
            self.input_type = "tel"


class CheckoutForm(CardDataFreeForm):
    """Who orders, where it goes, and the token that the card form yields."""

    email = forms.EmailField(
        label="Email",
        max_length=254,
        help_text="For questions about this order.",
        error_messages={
            "required": "Type your email address.",
            "invalid": "This email address is not complete. It looks like name@example.com.",
        },
        widget=forms.EmailInput(attrs={"autocomplete": "email", "inputmode": "email"}),
    )
    phone = _text("Phone", "tel", limit=50)
    first_name = _text("First name", "given-name", limit=100, missing="Type your first name.")
    last_name = _text("Last name", "family-name", limit=100)
    line1 = _text("Address", "address-line1", limit=200, missing="Type your street and number.")
    line2 = _text("Apartment, floor, company", "address-line2", limit=200)
    city = _text("City", "address-level2", limit=100, missing="Type your city.")
    state = _text("State or region", "address-level1", limit=100)
    zip = _text("ZIP or postal code", "postal-code", limit=20, missing="Type your postal code.")
    country = forms.ChoiceField(
        label="Country",
        choices=COUNTRIES,
        widget=forms.Select(attrs={"autocomplete": "country"}),
    )
    payment_token = forms.CharField(
        max_length=255, error_messages={"required": "Choose a card to pay with."}
    )

    contact_fields: Final = ("email", "phone")
    delivery_fields: Final = (
        *("first_name", "last_name", "line1", "line2", "city", "state", "zip", "country"),
    )

    @property
    def contact(self) -> list[BoundField]:
        """The fields of the first group."""
        return [self[name] for name in self.contact_fields]

    @property
    def delivery(self) -> list[BoundField]:
        """The fields of the second group."""
        return [self[name] for name in self.delivery_fields]

    def customer(self, before: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return the customer with what was typed; keys that we do not know are kept."""
        values = {name: self.cleaned_data.get(name, "") for name in (*_CUSTOMER, *_ADDRESS)}
        known = dict(before or {})
        address = known.get("address")
        known |= {key: values[name] for name, key in _CUSTOMER.items()}
        known["address"] = (dict(address) if isinstance(address, dict) else {}) | {
            key: values[name] for name, key in _ADDRESS.items()
        }
        return known

    def draft(self, before: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """Return the session's fields for what was typed so far; None if it cannot hold all of it.

        What is still missing is no mistake here.
        """
        typed = {name for name in (*self.contact_fields, *self.delivery_fields) if self[name].data}
        refused: frozenset[str] = getattr(self.data, "refused", frozenset())
        if refused or typed & self.errors.keys():
            return None
        fields: dict[str, Any] = {}
        if "email" in typed:
            fields["email"] = self.cleaned_data["email"]
        if typed - {"email", "country"}:
            fields["customer"] = self.customer(before)
        return fields


def initial_of(session: SessionSnapshot) -> dict[str, str]:
    """Return what the checkout's form begins with. Imported customers may lack anything."""
    customer: Mapping[str, Any] = session.customer or {}
    address = customer.get("address")
    initial = {name: _string(customer, key) for name, key in _CUSTOMER.items()}
    initial |= {name: _string(address, key) for name, key in _ADDRESS.items()}
    initial["email"] = session.email or ""
    initial["country"] = initial["country"] or _HOME
    return initial


def _string(source: object, key: str) -> str:
    value = source.get(key) if isinstance(source, dict) else None
    return value if isinstance(value, str) else ""
