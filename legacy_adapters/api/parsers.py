"""A body as it was sent: what a browser's storage holds may be anything."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

from rest_framework.parsers import BaseParser

from legacy_adapters.local_storage.blobs import MAX_BYTES
from sessions_unified.api.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping


class RawParser(BaseParser):
    """The body's bytes, bounded; of an empty body DRF makes an object without ``raw``."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Return them as ``raw``.

        Raises:
            Problem: they are too many (413).

        """
        raw = stream.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise Problem(413, "body_too_large", f"The body is larger than {MAX_BYTES} bytes.")
        return {"raw": raw}
