"""The consumer that keeps the caches honest: it ends whatever is older than a committed event.

Rule 4 of `sessions_unified.manager`: a writer that dies between its commit and its put has still
written an event. A copy in Redis that is older goes, a lease goes (its load may have begun before
the commit), and every process is told, so that its L1 drops what is older.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, ClassVar, Final

from redis.exceptions import NoScriptError, RedisError

from sessions_unified.conf import get_conf
from sessions_unified.metrics import REPAIRS
from sessions_unified.relay.base import Consumer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import redis

    from sessions_unified.event_log import Entry
    from sessions_unified.tiers.redis import RedisTier

# End a lease, a copy older than the event, and what is neither; tell the processes. One key, so
# that a cluster can run it. ARGV: version, channel, message. Returns 1 if it ended something.
REPAIR: Final = """
local held = redis.pcall('GETRANGE', KEYS[1], 0, 16)
local ended = 0
if held ~= '' then
  local is_copy = type(held) == 'string' and string.sub(held, 1, 1) == 'C'
  local version = is_copy and tonumber(string.sub(held, 2, 17))
  if not version or version < tonumber(ARGV[1]) then
    ended = redis.call('DEL', KEYS[1])
  end
end
redis.call('PUBLISH', ARGV[2], ARGV[3])
return ended
"""
_SHA: Final = hashlib.sha1(REPAIR.encode(), usedforsecurity=False).hexdigest()

# More than clocks, transactions and a replica's delay may differ by.
SLACK_SECONDS: Final = 15


class CacheConsumer(Consumer):
    """Repairs Redis, and L1 through its channel.

    What it did is lost when Redis is replaced by a replica that lagged, or restarted with old
    data. So it asks for the events of the last `STALENESS_BOUND_SECONDS` once more whenever it
    meets a server that it didn't meet the last time, at its first start too: older copies are
    served by nobody.
    """

    name: ClassVar[str] = "caches"

    def __init__(self, tier: RedisTier) -> None:
        self._tier = tier
        self._run_id: str | None = None  # of the server that has seen all that was handled

    @property
    def history_seconds(self) -> float:
        """Older copies than this are served by nobody."""
        return get_conf().STALENESS_BOUND_SECONDS + SLACK_SECONDS

    def replay_seconds(self) -> float:
        """Return the bound if the server is another one than the last time, or has restarted.

        Raises:
            TierUnavailableError: Redis did not answer.

        """
        met = self._run_id
        self._run_id = self._tier.call(lambda client: str(client.info("server").get("run_id")))
        return 0 if self._run_id == met else self.history_seconds

    def handle(self, entries: Sequence[Entry]) -> None:
        """End what is older, in one round trip.

        Raises:
            TierUnavailableError: Redis did not answer; some of it may be done.

        """
        newest: dict[str, int] = {}
        for entry in entries:
            newest[entry.session_id] = max(entry.seq, newest.get(entry.session_id, 0))
        REPAIRS.inc(self._tier.call(lambda client: self._repair(client, newest)))

    def _repair(self, client: redis.Redis, newest: Mapping[str, int]) -> int:
        answers = self._send(client, newest)
        if any(isinstance(answer, NoScriptError) for answer in answers):
            # A pipeline cannot load what it misses. Doing it all again is harmless.
            client.script_load(REPAIR)
            answers = self._send(client, newest)
        for answer in answers:
            if isinstance(answer, RedisError):
                # A replica that was the primary: whoever connects anew finds the new one.
                client.connection_pool.disconnect()
                raise answer
        return sum(answers)

    def _send(self, client: redis.Redis, newest: Mapping[str, int]) -> list[Any]:
        tier = self._tier
        pipeline = client.pipeline(transaction=False)
        for session_id, version in newest.items():
            pipeline.evalsha(
                _SHA,
                1,
                tier.key(session_id),
                version,
                tier.channel,
                f"{session_id} {version}",
            )
        return pipeline.execute(raise_on_error=False)
