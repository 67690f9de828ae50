"""What requests may say, field by field; the OpenAPI schema is made from these."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from sessions_unified.api.fields import (
    StrictCharField,
    StrictEmailField,
    StrictIntegerField,
    StrictSerializer,
)
from sessions_unified.conf import get_conf
from sessions_unified.flow import STATUSES
from sessions_unified.pricing import get_pricer
from sessions_unified.wire import INTERNAL_METADATA

MAX_QUANTITY = 100
MAX_LINES = 50
MAX_EXTENSION_SECONDS = 30 * 24 * 3600


class AddressSerializer(StrictSerializer):
    """Where the order goes."""

    line1 = StrictCharField(max_length=200)
    line2 = StrictCharField(max_length=200, required=False, allow_blank=True)
    city = StrictCharField(max_length=100)
    state = StrictCharField(max_length=100, required=False, allow_blank=True)
    zip = StrictCharField(max_length=20)
    country = serializers.RegexField("^[A-Z]{2}$", help_text="ISO 3166-1 alpha-2, like US")


class CustomerSerializer(StrictSerializer):
    """Who orders."""

    firstName = StrictCharField(max_length=100)
    lastName = StrictCharField(max_length=100, allow_blank=True)
    phone = StrictCharField(max_length=50, required=False, allow_blank=True)
    address = AddressSerializer(required=False)


class ProductSerializer(StrictSerializer):
    """One line of the order; its price is the shop's, never the client's."""

    id = StrictCharField(max_length=64)
    quantity = StrictIntegerField(min_value=1, max_value=MAX_QUANTITY)


@extend_schema_field({"type": "object", "additionalProperties": True})
class MetadataField(serializers.Field[Any, Any, Any, Any]):
    """A JSON object of the client's own, bounded in size."""

    default_error_messages: ClassVar = {
        "not_object": "This is not an object.",
        "too_large": "This is larger than {limit} bytes.",
        "reserved": "The key {name} is the shop's own.",
    }

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Return the object."""
        if not isinstance(data, dict):
            self.fail("not_object")
        if INTERNAL_METADATA in data:
            self.fail("reserved", name=INTERNAL_METADATA)
        limit = get_conf().METADATA_MAX_BYTES
        if len(msgspec.json.encode(data)) > limit:
            self.fail("too_large", limit=limit)
        return data

    def to_representation(self, value: Any) -> Any:
        """Return the object."""
        return value


class _ProductsMixin(StrictSerializer):
    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Refuse products by name where the site has no catalogue to price them from."""
        if get_pricer() is None:
            self.fields.pop("products", None)
        return super().to_internal_value(data)


def _products(*, required: bool) -> Any:
    limits: dict[str, Any] = {"allow_empty": False, "max_length": MAX_LINES}
    return ProductSerializer(many=True, required=required, **limits)


class CreateSerializer(_ProductsMixin):
    """``POST /api/session/create``."""

    email = StrictEmailField(max_length=254)
    customer = CustomerSerializer(required=False)
    products = _products(required=True)
    metadata = MetadataField(required=False)


class UpdateSerializer(_ProductsMixin):
    """``PATCH /api/session/{id}``: any of these; metadata is merged by its top-level keys."""

    email = StrictEmailField(max_length=254, required=False)
    customer = CustomerSerializer(required=False)
    products = _products(required=False)
    metadata = MetadataField(required=False)
    currentStep = StrictCharField(max_length=64, required=False)


class ExtendSerializer(StrictSerializer):
    """``POST /api/session/{id}/extend``."""

    durationSeconds = StrictIntegerField(
        min_value=1, max_value=MAX_EXTENSION_SECONDS, required=False
    )


class UpsellsSchema(serializers.Serializer[Any]):
    """The offers taken and refused."""

    accepted = serializers.ListField(child=serializers.CharField())
    declined = serializers.ListField(child=serializers.CharField())
    details = serializers.DictField()


class LineSchema(serializers.Serializer[Any]):
    """A priced line."""

    id = serializers.CharField()
    name = serializers.CharField()
    price = serializers.FloatField(allow_null=True)
    quantity = serializers.IntegerField()


class SessionSchema(serializers.Serializer[Any]):
    """A session as clients see it; for the OpenAPI schema alone (`sessions_unified.wire`)."""

    id = serializers.CharField()
    email = serializers.CharField(allow_null=True)
    status = serializers.ChoiceField(choices=STATUSES)
    currentStep = serializers.CharField()
    customer = CustomerSerializer(allow_null=True)
    products = LineSchema(many=True)
    amount = serializers.FloatField(allow_null=True)
    currency = serializers.CharField()
    transactionId = serializers.CharField(allow_null=True)
    upsells = UpsellsSchema()
    metadata = serializers.DictField()
    version = serializers.IntegerField()
    createdAt = serializers.DateTimeField()
    updatedAt = serializers.DateTimeField()
    expiresAt = serializers.DateTimeField()


class TierReportSchema(serializers.Serializer[Any]):
    """What one tier holds."""

    name = serializers.CharField()
    isPresent = serializers.BooleanField()
    version = serializers.IntegerField(allow_null=True)
    ageSeconds = serializers.FloatField(allow_null=True)
    differences = serializers.ListField(child=serializers.CharField())
    error = serializers.CharField(allow_null=True)


class HealthSchema(serializers.Serializer[Any]):
    """``GET /api/session/{id}/validate``."""

    id = serializers.CharField()
    exists = serializers.BooleanField()
    isExpired = serializers.BooleanField()
    isSchemaValid = serializers.BooleanField()
    isFlowValid = serializers.BooleanField()
    tiersAgree = serializers.BooleanField()
    problems = serializers.ListField(child=serializers.CharField())
    tiers = TierReportSchema(many=True)


class ProblemSchema(serializers.Serializer[Any]):
    """An error (RFC 9457): branch on ``code``, show ``detail``."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    code = serializers.CharField()
    errors = serializers.ListField(  # type: ignore[assignment]  # RFC 9457's
        child=serializers.DictField(), required=False
    )
