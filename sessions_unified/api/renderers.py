"""JSON answers: msgspec writes datetimes in UTC with Z, and decimals as exact numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from rest_framework.renderers import BaseRenderer

if TYPE_CHECKING:
    from collections.abc import Mapping

_encoder = msgspec.json.Encoder(decimal_format="number")


class WireJSONRenderer(BaseRenderer):
    """``application/json``, and ``application/problem+json`` for errors."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Return the bytes; nothing for no data."""
        return b"" if data is None else _encoder.encode(data)
