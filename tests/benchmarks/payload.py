"""What every side stores: one order, ~700 bytes of JSON."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

ORDER: Final[dict[str, Any]] = {
    "email": "maria.jose.soendergaard@example.org",
    "customer": {
        "firstName": "María José",
        "lastName": "Søndergård",
        "phone": "+1 (555) 010-1001",
        "address": {
            "line1": "1200 South High Street",
            "city": "Springfield",
            "state": "NY",
            "zip": "10001",
            "country": "US",
        },
    },
    "products": [
        {"id": "SOIL", "name": "Living Soil 5L", "price": Decimal("12.50"), "quantity": 2},
        {"id": "LAMP", "name": "Grow Lamp", "price": Decimal("89.00"), "quantity": 1},
    ],
    "amount": Decimal("114.00"),
    "currency": "USD",
    "metadata": {"utm_source": "newsletter", "utm_campaign": "spring", "visits": 3},
}
