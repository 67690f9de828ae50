"""Everything that a site keeps or says, as text: what a canary must not be found in."""

from __future__ import annotations

import io
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import connection
from structlog.stdlib import ProcessorFormatter

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis


def database_text(*, without: tuple[str, ...] = ()) -> str:
    """Return all rows of all tables."""
    names = [
        name
        for name in connection.introspection.table_names()
        if name not in without and name != "django_migrations"
    ]
    parts = []
    with connection.cursor() as cursor:
        for name in names:
            quoted = connection.ops.quote_name(name)
            cursor.execute(f"SELECT t::text FROM {quoted} AS t")
            parts += [f"{name}: {text}" for (text,) in cursor.fetchall()]
    return "\n".join(parts)


def redis_text(client: redis.Redis) -> str:
    """Return all keys with what they hold."""
    readers: dict[bytes, Any] = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"set": client.smembers,
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        b"stream": client.xrange,
    }
    return "\n".join(f"{key!r} {readers[client.type(key)](key)!r}" for key in client.scan_iter())


@contextmanager
def logged(shape: str = "json") -> Iterator[io.StringIO]:
    """Yield what the site logs meanwhile, as it would be printed."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    options = {**settings.LOGGING["formatters"][shape]}
    options.pop("()")
    handler.setFormatter(ProcessorFormatter(**options))
    logging.getLogger().addHandler(handler)
    try:
        yield stream
    finally:
        logging.getLogger().removeHandler(handler)
