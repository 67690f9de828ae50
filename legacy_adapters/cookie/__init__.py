"""The old shop's signed cookie ``upsell_session``."""

from legacy_adapters.cookie.adapter import CookieAdapter

__all__ = ["CookieAdapter"]
