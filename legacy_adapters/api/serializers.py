"""The answers' shapes, for the OpenAPI schema alone."""

from __future__ import annotations

from typing import Any, Final

from rest_framework import serializers

from sessions_unified.api.serializers import SessionSchema

BLOB: Final = {
    "type": "object",
    "description": "What localStorage holds for the old pages, as it is: session id → entry.",
    "additionalProperties": {"type": "object", "additionalProperties": True},
}
"""The request's schema: any text is answered."""


class OrderLineSchema(serializers.Serializer[Any]):
    """A line to start over with."""

    id = serializers.CharField()
    quantity = serializers.IntegerField()


class StartOverSchema(serializers.Serializer[Any]):
    """What `POST /api/session/create` takes as ``products``."""

    products = OrderLineSchema(many=True)


class SyncProblemSchema(serializers.Serializer[Any]):
    """Something that was not read, or not taken."""

    code = serializers.CharField()
    detail = serializers.CharField()
    id = serializers.CharField(required=False, help_text="of the entry, if it is about one")


class SyncSchema(serializers.Serializer[Any]):
    """``POST /api/session/sync``."""

    key = serializers.CharField(help_text="where localStorage holds the entries")
    sessions = serializers.DictField(
        child=SessionSchema(), help_text="by id: what this browser may see"
    )
    keep = serializers.DictField(
        child=serializers.DictField(), help_text="by id: entries to hold now, in the old format"
    )
    drop = serializers.ListField(
        child=serializers.CharField(), help_text="ids of entries to forget: they are over"
    )
    startOver = StartOverSchema(allow_null=True)
    problems = SyncProblemSchema(many=True)
