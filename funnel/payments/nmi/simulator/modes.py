"""What the simulator does with a request: by name, and by a rule for which requests."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from funnel.payments.nmi.simulator.cards import TestCard

Decision = Literal["approve", "decline", "refuse"]
Delivery = Literal["send", "drop", "hang"]
Scope = Literal["sales", "first", "later", "reversals", "queries"]
SCOPES: Final[tuple[Scope, ...]] = ("sales", "first", "later", "reversals", "queries")
_ANY_CODE: Final = re.compile(r"code-([2-4][0-9]{2})")


class UnknownModeError(ValueError):
    """There is no such mode; ``GET /_control/`` lists them."""

    def __init__(self, name: object) -> None:
        super().__init__(f"There is no mode {name!r}. There are: {', '.join(MODES)}; code-NNN.")


@dataclass(frozen=True, kw_only=True)
class Mode:
    """One way to treat a request.

    Attributes:
        name: as people choose it.
        decision: what is really done; only ``approve`` moves money, ``refuse`` leaves no record.
        code: the ``response_code`` that is told.
        text: the ``responsetext``; ``{id}`` becomes a REFID.
        delivery: what becomes of the answer.
        body: a body to send instead; None: NMI's own.
        status: the HTTP status.
        hidden_calls: queries that find nothing of it.
        tampers: which of "amount" and "currency" is booked wrongly.
        webhook: how its event is delivered.

    """

    name: str
    decision: Decision = "approve"
    code: str = "100"
    text: str = "SUCCESS"
    delivery: Delivery = "send"
    body: bytes | None = None
    status: int = 200
    hidden_calls: int = 0
    tampers: Literal["amount", "currency"] | None = None
    webhook: Literal["once", "twice", "reordered"] = "once"

    @property
    def response(self) -> str:
        """The field ``response``: 1 approved, 2 declined, 3 error."""
        return {"1": "1", "2": "2"}.get(self.code[0], "3")


_HTML: Final = b"<!doctype html><title>502</title><h1>Bad gateway</h1>"
_BODIES: Final = {
    "empty": b"",
    "html": _HTML,
    "json": b'{"response": 1, "transactionid": 1}',
    "bytes": bytes(range(256)),
    "cut-short": b"response=1&responsetext=SUCC",
    "no-response": b"responsetext=SUCCESS&transactionid=1&response_code=100",
    "no-transaction": b"response=1&responsetext=SUCCESS&transactionid=&response_code=100",
    "contradiction": b"response=1&response=2&transactionid=1&response_code=200",
    "response-7": b"response=7&responsetext=SUCCESS&transactionid=1&response_code=100",
}
_ALL: Final = (
    Mode(name="approve"),
    Mode(name="decline", decision="decline", code="200", text="DECLINE"),
    Mode(
        name="reject",
        decision="refuse",
        code="300",
        text="Invalid Credit Card Number REFID:{id}",
    ),
    Mode(
        name="duplicate",
        decision="refuse",
        code="430",
        text="Duplicate transaction REFID:{id}",
    ),
    Mode(
        name="duplicate-300",
        decision="refuse",
        code="300",
        text="Duplicate transaction REFID:{id}",
    ),
    Mode(name="charge-then-430", code="430", text="Duplicate transaction REFID:{id}"),
    Mode(name="charge-then-400", code="400", text="Transaction error returned by processor"),
    Mode(name="charge-then-420", code="420", text="Communication error REFID:{id}"),
    Mode(name="charge-then-421", code="421", text="Communication error with issuer REFID:{id}"),
    Mode(name="charge-then-drop-connection", delivery="drop"),
    Mode(name="charge-then-hang", delivery="hang"),
    Mode(name="charge-then-http-500", status=500, body=_HTML),
    Mode(name="drop-connection", decision="refuse", delivery="drop"),
    Mode(name="hang", decision="refuse", delivery="hang"),
    Mode(name="http-500", decision="refuse", status=500, body=_HTML),
    Mode(name="hidden", delivery="drop", hidden_calls=2),
    Mode(name="tampered-amount", delivery="drop", tampers="amount"),
    Mode(name="tampered-currency", delivery="drop", tampers="currency"),
    Mode(name="rate-limit", decision="refuse", code="301", text="Rate limit exceeded REFID:{id}"),
    Mode(name="http-429", decision="refuse", status=429, body=b"Too many requests"),
    Mode(
        name="used-token",
        decision="refuse",
        code="300",
        text="Payment token has already been used REFID:{id}",
    ),
    Mode(name="webhook-twice", webhook="twice"),
    Mode(name="webhook-reordered", webhook="reordered"),
    *(Mode(name=f"malformed-{kind}", body=body) for kind, body in _BODIES.items()),
)
MODES: Final = {mode.name: mode for mode in _ALL}
APPROVE: Final = MODES["approve"]


def find_mode(name: object) -> Mode:
    """Return the mode of a name; ``code-204`` is any documented code, without a charge.

    Raises:
        UnknownModeError: there is none.

    """
    if isinstance(name, str):
        if name in MODES:
            return MODES[name]
        if found := _ANY_CODE.fullmatch(name):
            code = found[1]
            decision: Decision = "decline" if code.startswith("2") else "refuse"
            text = "DECLINE" if decision == "decline" else f"Error {code} REFID:{{id}}"
            return Mode(name=name, decision=decision, code=code, text=text)
    raise UnknownModeError(name)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A mode, for which requests, and how often.

    Attributes:
        card: a card's number; None: any.
        times: how many requests more; None: until something else is said.

    """

    mode: Mode
    scope: Scope = "sales"
    card: str | None = None
    times: int | None = None

    def covers(self, scope: Scope, card: TestCard | None) -> bool:
        """Tell whether a request is meant."""
        is_sale = scope in {"first", "later"}
        meant = self.scope == scope or (self.scope == "sales" and is_sale)
        return meant and (self.card is None or (card is not None and card.number == self.card))


class Modes:
    """The rules in force; thread-safe.

    A request takes the oldest counted rule that covers it, else what was said for its card, else
    what its card means by itself, else the newest standing rule, else it is approved.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Rule] = []

    def add(self, rule: Rule) -> None:
        """Put a rule in force; a standing one replaces that of the same requests."""
        with self._lock:
            if rule.times is None:
                self._rules = [each for each in self._rules if not _same_requests(each, rule)]
            self._rules.append(rule)

    def reset(self) -> None:
        """Forget all rules."""
        with self._lock:
            self._rules.clear()

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules in force, oldest first."""
        with self._lock:
            return tuple(self._rules)

    def take(self, scope: Scope, card: TestCard | None = None) -> Mode:
        """Return the mode of one request, and count it."""
        with self._lock:
            covering = [rule for rule in self._rules if rule.covers(scope, card)]
            counted = next((rule for rule in covering if rule.times is not None), None)
            if counted is not None:
                self._count(counted)
                return counted.mode
            named = next((rule for rule in reversed(covering) if rule.card is not None), None)
            if named is not None:
                return named.mode
            own = _own_mode(scope, card)
            if own is not None:
                return find_mode(own)
            # What is said of first or of later sales is nearer than what is said of all.
            covering.sort(key=lambda rule: rule.scope != "sales")
            return covering[-1].mode if covering else APPROVE

    def _count(self, rule: Rule) -> None:
        place = next(index for index, each in enumerate(self._rules) if each is rule)
        left = (rule.times or 1) - 1
        if left:
            self._rules[place] = replace(rule, times=left)
        else:
            del self._rules[place]


def _same_requests(one: Rule, other: Rule) -> bool:
    return one.times is None and (one.scope, one.card) == (other.scope, other.card)


def _own_mode(scope: Scope, card: TestCard | None) -> str | None:
    if card is None or scope not in {"first", "later"}:
        return None
    return card.first if scope == "first" else card.later
