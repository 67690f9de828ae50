"""What checkout and upsell requests may say."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from funnel.upsell import ACCEPT, DECLINE
from sessions_unified.api.fields import StrictCharField, StrictSerializer
from sessions_unified.api.serializers import CustomerSerializer, SessionSchema


class CheckoutSerializer(StrictSerializer):
    """``POST /api/checkout/process``."""

    paymentToken = StrictCharField(max_length=255)
    customer = CustomerSerializer(required=False)


class UpsellSerializer(StrictSerializer):
    """``POST /api/upsell/process``."""

    offer = StrictCharField(max_length=64)
    decision = serializers.ChoiceField(choices=[ACCEPT, DECLINE])


class NextSchema(serializers.Serializer[Any]):
    """What the shopper sees now."""

    step = serializers.CharField()
    url = serializers.CharField()
    offers = serializers.ListField(child=serializers.CharField())


class StateSchema(serializers.Serializer[Any]):
    """The session and what comes next."""

    session = SessionSchema()
    next = NextSchema()
