"""What the acceptance tests share: one real web process for all that need no other."""

from tests.live_site import live_site, site

__all__ = ["live_site", "site"]
