"""An entry of the old shop's cache as a session and back: it is the old cookie's data."""

from __future__ import annotations

from legacy_adapters.cookie.mapping import FIELDS, LIFETIME, to_data, to_session

__all__ = ["FIELDS", "LIFETIME", "to_data", "to_session"]
