"""What the guard counts, for Prometheus."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter

CHARGES_REFUSED: Final = Counter(
    "funnel_charges_refused",
    "Charges that were refused after too many declines, before anything was sent. scope: session, "
    "address, card; one that is refused for two reasons counts in both.",
    ["scope"],
)
