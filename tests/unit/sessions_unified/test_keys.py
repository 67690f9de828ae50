"""Services' API keys: shown once, kept as a hash, dead when revoked or expired."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.core import serializers

from sessions_unified import keys
from sessions_unified.models import ServiceKey

pytestmark = pytest.mark.django_db


def test_a_key_is_found_by_its_text_alone() -> None:
    key, text = keys.create_key("crm", [keys.READ, keys.READ])

    assert keys.find_key(text) == key
    assert key.scopes == [keys.READ]
    for wrong in ("", ".", text[:-1], text + "x", text.upper(), key.prefix, f"{key.prefix}."):
        assert keys.find_key(wrong) is None
    assert keys.find_key(f"{key.prefix}.{key.digest}") is None


def test_r26_a_dump_of_the_table_opens_nothing() -> None:
    _, text = keys.create_key("crm", keys.SCOPES)

    dump = serializers.serialize("json", ServiceKey.objects.all())

    assert text not in dump
    assert text.partition(".")[2] not in dump
    assert len(text.partition(".")[2]) >= 43  # 256 bits


def test_a_key_dies_when_it_expires_or_is_revoked() -> None:
    key, text = keys.create_key("crm", keys.SCOPES)
    now = datetime.now(UTC)

    key.expires_at = now + timedelta(hours=1)
    key.save()
    before = keys.find_key(text)
    key.expires_at = now - timedelta(seconds=5)
    key.save()
    expired = keys.find_key(text)
    key.expires_at, key.revoked_at = None, now
    key.save()

    assert (before, expired, keys.find_key(text)) == (key, None, None)


def test_an_unknown_scope_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="sessions:admin"):
        keys.create_key("crm", [keys.READ, "sessions:admin"])

    assert not ServiceKey.objects.exists()
