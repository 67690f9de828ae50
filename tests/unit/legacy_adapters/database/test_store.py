"""How a legacy table is named in a statement."""

from __future__ import annotations

import pytest

from legacy_adapters.database.store import Table


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        ("funnel_sessions", '"funnel_sessions"'),
        ("old.funnel_sessions", '"old"."funnel_sessions"'),
        ('x"; DROP TABLE users; --', '"x""; DROP TABLE users; --"'),
    ],
)
def test_a_table_s_name_is_always_a_name(name: str, quoted: str) -> None:
    assert Table(alias="default", name=name).quoted == quoted


def test_a_percent_sign_in_a_name_is_no_parameter() -> None:
    table = Table(alias="default", name="50%s")

    assert table.statement("SELECT 1 FROM {} WHERE id = %s") == (
        'SELECT 1 FROM "50%%s" WHERE id = %s'
    )
