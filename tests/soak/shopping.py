"""What one thread of the load generator does: shoppers' requests, without a pause."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Final

from tests.soak.record import CUT, NOTHING, Record

if TYPE_CHECKING:
    from tests.soak.client import Client, Reply

ORDER: Final = {"email": "ana@example.org", "products": [{"id": "SOIL", "quantity": 2}]}
OPERATIONS: Final = {
    "read": 50,
    "increment": 12,
    "merge": 6,
    "ghost": 8,
    "create": 9,
    "delete": 9,
    "extend": 3,
    "validate": 3,
}
"""Operation → its share in per cent; an increment is a read and a write."""
OWN_SESSIONS: Final = 150
SAMPLE: Final = 50
OTHER_NODE: Final = 0.3
BACK_OFF_SECONDS: Final = 0.1


@dataclass(frozen=True)
class Session:
    """A session, and the cookie that opens it."""

    id: str
    cookie: str

    @property
    def path(self) -> str:
        return f"/api/session/{self.id}"


@dataclass(kw_only=True)
class Shop:
    """What all threads share.

    Attributes:
        counters: sessions whose ``metadata.n`` is read, and written plus one under If-Match.
        boards: sessions where each thread merges keys of its own, without If-Match.
        doomed: sessions that somebody is about to delete.
        stop: set at the end.

    """

    counters: list[Session] = field(default_factory=list)
    boards: list[Session] = field(default_factory=list)
    doomed: deque[Session] = field(default_factory=lambda: deque(maxlen=16))
    stop: threading.Event = field(default_factory=threading.Event)


class Shoppers:
    """One thread: it owns sessions that nobody else deletes, and writes down what it was told."""

    def __init__(
        self, *, number: int, seed: int, shop: Shop, client: Client, records: IO[str]
    ) -> None:
        self._random = random.Random(f"{seed}-{number}")
        self._number = number
        self._home = number % len(client.bases)
        self._shop = shop
        self._client = client
        self._records = records
        self._own: list[Session] = []
        self._deleted: list[Session] = []
        self._merged: Counter[str] = Counter()
        self._cut_merges: Counter[str] = Counter()

    def run(self) -> None:
        """Shop until it is time to stop."""
        names, weights = list(OPERATIONS), list(OPERATIONS.values())
        while not self._shop.stop.is_set():
            (name,) = self._random.choices(names, weights)
            getattr(self, name)()
        self._client.close()
        self._records.flush()

    def create_for_all(self) -> Session:
        """Start a session that everybody knows and nobody deletes."""
        while (session := self._create()) is None:
            time.sleep(BACK_OFF_SECONDS)
        return session

    def sample(self) -> list[Session]:
        """Return some of this thread's sessions, and some that it has deleted."""
        return self._own[:SAMPLE] + self._deleted[-SAMPLE:]

    def create(self) -> None:
        """Start a session; who has enough ends one."""
        if len(self._own) >= OWN_SESSIONS:
            self.delete()
        elif (session := self._create()) is not None:
            self._own.append(session)

    def _create(self) -> Session | None:
        # What was created by a request that was cut, nobody knows.
        reply = self._send("POST", "/api/session/create", ORDER)
        session = None
        if reply.status == 201:
            session = Session(reply.body["id"], reply.cookie)
        self._note("create", session, reply)
        return session

    def read(self) -> None:
        """Read one of this thread's, of everybody's, or one that is being deleted."""
        chance = self._random.random()
        if chance < 0.1 and self._shop.doomed:
            session = self._random.choice(list(self._shop.doomed))
        elif chance < 0.4 or not self._own:
            session = self._random.choice(self._shop.counters + self._shop.boards)
        else:
            session = self._random.choice(self._own)
        self._read(session)

    def ghost(self) -> None:
        """Ask for a session that is gone, a recent one or any."""
        if self._deleted:
            among = self._deleted[-20:] if self._random.random() < 0.5 else self._deleted
            self._read(self._random.choice(among), "ghost")

    def increment(self) -> None:
        """Read, add one, and write that on the version that was read."""
        session = self._random.choice(self._shop.counters)
        found = self._read(session)
        if found.status != 200:
            return
        number = found.body["metadata"].get("n", 0) + 1
        body = {"metadata": {"n": number}}
        reply = self._ask(session, "PATCH", body=body, If_Match=f'"{found.version}"')
        self._note("increment", session, reply)

    def merge(self) -> None:
        """Write the next number under a key of this thread's own.

        Whether a write that was cut arrives, and when, is not known: then the key is left alone.
        """
        session = self._random.choice(self._shop.boards)
        key = f"{self._number}.{self._cut_merges[session.id]}"
        self._merged[session.id + key] += 1
        number = self._merged[session.id + key]
        reply = self._ask(session, "PATCH", body={"metadata": {key: number}})
        self._note("merge", session, reply, f"{key}={number}")
        if reply.status == CUT or reply.status >= 500:
            self._cut_merges[session.id] += 1

    def extend(self) -> None:
        """Ask for more time."""
        if self._own:
            session = self._random.choice(self._own)
            self._note("extend", session, self._ask(session, "POST", "/extend", {}))

    def validate(self) -> None:
        """Ask for a session's health."""
        if self._own:
            session = self._random.choice(self._own)
            self._note("validate", session, self._ask(session, "GET", "/validate"))

    def delete(self) -> None:
        """Delete a session while others may be reading it."""
        if not self._own:
            return
        session = self._own.pop(self._random.randrange(len(self._own)))
        self._shop.doomed.append(session)
        reply = self._ask(session, "DELETE")
        self._note("delete", session, reply)
        if reply.status == 204:
            self._deleted.append(session)

    def _read(self, session: Session, op: str = "read") -> Reply:
        reply = self._ask(session, "GET")
        self._note(op, session, reply)
        return reply

    def _ask(
        self, session: Session, method: str, action: str = "", body: Any = None, **headers: str
    ) -> Reply:
        return self._send(method, session.path + action, body, Cookie=session.cookie, **headers)

    def _send(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        self._node = self._home
        if self._random.random() < OTHER_NODE:
            self._node = self._random.randrange(len(self._client.bases))
        return self._client.send(self._node, method, path, body, **headers)

    def _note(self, op: str, session: Session | None, reply: Reply, note: str = NOTHING) -> None:
        record = Record(
            reply.asked,
            reply.took,
            self._node,
            op,
            session.id if session else NOTHING,
            reply.status,
            reply.version,
            reply.degraded,
            note,
        )
        self._records.write(record.line)
        if reply.status == CUT or reply.status >= 500:
            time.sleep(BACK_OFF_SECONDS)
