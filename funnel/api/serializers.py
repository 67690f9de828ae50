"""What checkout and upsell requests may say."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from funnel.upsell import ACCEPT, DECLINE
from sessions_unified.api.fields import StrictCharField, StrictSerializer
from sessions_unified.api.serializers import MAX_LINES, CustomerSerializer, SessionSchema


class CheckoutSerializer(StrictSerializer):
    """``POST /api/checkout/process``."""

    paymentToken = StrictCharField(
        max_length=255, help_text="What the gateway's card form yields; usable once."
    )
    customer = CustomerSerializer(required=False)
    bumps = serializers.ListField(
        child=StrictCharField(max_length=64),
        required=False,
        max_length=MAX_LINES,
        help_text="Exactly these order bumps are in the order, at the shop's prices; without the "
        "field it is charged as it stands.",
    )
    cardFingerprint = StrictCharField(
        max_length=128,
        required=False,
        help_text="What the card form says is the same for every token of one card. It is only "
        "used, as a keyed hash, to count declines.",
    )


class UpsellSerializer(StrictSerializer):
    """``POST /api/upsell/process``."""

    offer = StrictCharField(max_length=64, help_text="An id out of `next.offers`.")
    decision = serializers.ChoiceField(choices=[ACCEPT, DECLINE])
    paymentToken = StrictCharField(
        max_length=255,
        required=False,
        help_text="To accept with another card than the stored one, which it replaces for the "
        "offers to come.",
    )
    cardFingerprint = StrictCharField(
        max_length=128, required=False, help_text="As at the checkout, of that card."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a card where nothing is charged."""
        if attrs["decision"] == DECLINE:
            text = "A decline charges nothing: send no card."
            given = {"paymentToken", "cardFingerprint"} & attrs.keys()
            if given:
                raise serializers.ValidationError({name: [text] for name in sorted(given)})
        return attrs


class NextSchema(serializers.Serializer[Any]):
    """What the shopper sees now."""

    step = serializers.CharField(help_text="The step; branch on it.")
    url = serializers.CharField(help_text="The shop's page of it.")
    offers = serializers.ListField(
        child=serializers.CharField(),
        help_text="Ids of the offers open there. At an upsell step they are answered by "
        "`/api/upsell/process`; at the checkout they are the order bumps that may still be added "
        "by `bumps` of `/api/checkout/process`.",
    )


class StateSchema(serializers.Serializer[Any]):
    """The session and what comes next."""

    session = SessionSchema()
    next = NextSchema()
