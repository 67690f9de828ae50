"""An entry of the old shop's cache as a session and back: it is the old cookie's data."""

from __future__ import annotations

from legacy_adapters.cookie.mapping import FIELDS, to_session
from legacy_adapters.cookie.writing import to_data

__all__ = ["FIELDS", "to_data", "to_session"]
