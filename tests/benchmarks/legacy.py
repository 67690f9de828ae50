"""A legacy table of any size: ``funnel_sessions`` as shops have it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class LegacyTable:
    """The table's name and its DDL."""

    name: str
    create: str


TABLE: Final = LegacyTable(
    name="funnel_sessions",
    create="CREATE TABLE funnel_sessions (id text PRIMARY KEY, email text NOT NULL, "
    "customer_info jsonb, products jsonb NOT NULL, status text NOT NULL, amount numeric(10,2), "
    "current_step text, upsells_accepted text[], upsells_declined text[], vault_id text, "
    "transaction_id text, payment_token text, created_at timestamptz NOT NULL, "
    "updated_at timestamptz NOT NULL, expires_at timestamptz NOT NULL)",
)
# One parameter: how many rows.
FILL: Final = """
    INSERT INTO funnel_sessions
    SELECT 'ws_' || lpad(to_hex(n), 8, '0') || '_' || left(md5(n::text), 9),
           'buyer' || n || '@example.org',
           '{"firstName": "María José", "lastName": "Søndergård", "phone": "+1 (555) 010-1001",
             "address": {"line1": "1200 South High Street", "city": "Springfield", "state": "NY",
                         "zip": "10001", "country": "US"}}'::jsonb,
           '[{"id": "SOIL", "name": "Living Soil 5L", "price": 12.5, "quantity": 2},
             {"id": "LAMP", "name": "Grow Lamp", "price": 89, "quantity": 1}]'::jsonb,
           'pending', 114.00, 'checkout', '{}', '{}', NULL, NULL, NULL,
           now() - interval '1 hour', now() - interval '30 minutes', now() + interval '20 hours'
    FROM generate_series(1, %s) AS n
"""
