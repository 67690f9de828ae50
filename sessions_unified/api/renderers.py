"""JSON answers: msgspec writes datetimes in UTC with Z, and decimals as exact numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from rest_framework.renderers import BaseRenderer

_encoder = msgspec.json.Encoder(decimal_format="number")


class WireJSONRenderer(BaseRenderer):
    """``application/json``, and ``application/problem+json`` for errors."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,  # noqa: ARG002
        renderer_context: Mapping[str, Any] | None = None,  # noqa: ARG002
    ) -> bytes:
        """Return the bytes; nothing for no data."""
        return b"" if data is None else _encoder.encode(data)
