"""Reads and writes the old shop's signed cookie, of the browser whose request is served."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from legacy_adapters import metrics
from legacy_adapters.base import AdapterHealth, LegacyAdapter, LegacyRecord, digest_of
from legacy_adapters.cookie import jws, mapping, store, tokens, writing
from legacy_adapters.exceptions import (
    LegacyTokenError,
    SourceUnavailableError,
    UnreadableRecordError,
    UnwritableRecordError,
)
from legacy_adapters.stores import Store
from sessions_unified.clock import get_clock
from sessions_unified.conf import get_conf
from sessions_unified.flow import get_flow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from django.http import HttpRequest

    from sessions_unified.snapshot import SessionSnapshot

# What a token adds to the data that it carries (RFC 7519, section 4.1).
_ENVELOPE: Final = ("iat", "exp", "nbf")
_NOTHING_OPENS: Final = (
    "No secret opens the old shop's cookie. Set LEGACY_COOKIE_SECRETS to what the shop signs it "
    "with, apart from secrets that are compromised."
)


@dataclass(frozen=True, kw_only=True)
class CookieRecord(LegacyRecord):
    """The data of a signed cookie.

    Attributes:
        ends_at: when the token ends, which need not be when its data does.

    """

    ends_at: datetime | None = None


class CookieAdapter(LegacyAdapter):
    """The old shop's cookie: a JWT, HS256 alone, which the old code lets live 30 minutes.

    Attributes:
        secrets: what it is signed with. They are tried in their order; the first signs.
        compromised_secrets: secrets that are out: what they signed is refused and recorded.
        cookie_name: its name.
        secure: whether it is sent over HTTPS only; None: as our own cookie.

    """

    store: ClassVar[Store] = Store.COOKIE
    fields: ClassVar[frozenset[str]] = mapping.FIELDS
    supports_write = True
    needs_request = True

    def __init__(
        self,
        *,
        source: str,
        request: HttpRequest | None = None,
        secrets: Sequence[str] = (),
        compromised_secrets: Sequence[str] = (),
        cookie_name: str = "upsell_session",
        secure: bool | None = None,
    ) -> None:
        super().__init__(source=source, request=request)
        for each in (*secrets, *compromised_secrets):
            jws.key_of(each)
        self.cookie = store.Cookie(
            name=cookie_name,
            secure=get_conf().COOKIE_SECURE if secure is None else secure,
            secrets=tokens.Secrets(trusted=tuple(secrets), compromised=tuple(compromised_secrets)),
        )

    def peek(self, session_id: str) -> LegacyRecord | None:
        """Return what the cookie says, if it is of this session and the shop signed it."""
        return next((each for each in self.present() if each.id == session_id), None)

    def present(self) -> tuple[LegacyRecord, ...]:
        """Return what the cookie says, if the shop signed it; past its end or not."""
        claims = self._claims()
        return () if claims is None else (_record(claims),)

    def is_expired(self, record: LegacyRecord) -> bool:
        """Tell whether the token's end has come, or that of the data where it has none."""
        try:
            ends_at = record.ends_at if isinstance(record, CookieRecord) else None
            return (ends_at or tokens.ends_at(record.data)) <= get_clock().now()
        except LegacyTokenError:
            return False

    def _expire(self, record: LegacyRecord) -> None:
        """Leave it: the browser drops it by itself."""

    def save(self, record: LegacyRecord) -> None:
        """Have the response set the cookie, signed, for the next 30 minutes."""
        if self.request is None:
            raise UnwritableRecordError("there is no request whose browser could hold it")
        if not self.cookie.secrets.usable:
            raise SourceUnavailableError(_NOTHING_OPENS)
        if record.id is None:
            raise UnwritableRecordError("id is missing")
        claims = self._claims() or {}
        others = claims if claims.get("id") == record.id else {}
        merged = {**others, **record.data, "id": record.id}
        data = {name: value for name, value in merged.items() if value is not None}
        try:
            fits = store.put(self.request, self.cookie, data, lifetime=writing.LIFETIME)
        except (TypeError, ValueError, RecursionError):
            raise UnwritableRecordError("it is no JSON") from None
        if not fits:
            metrics.UNWRITTEN_COOKIES.labels(source=self.source).inc()
            raise UnwritableRecordError("it is larger than a cookie can be")

    def delete(self, session_id: str) -> bool:
        """Have the response delete the cookie, if it is of this session."""
        if self.request is None or self.peek(session_id) is None:
            return False
        store.discard(self.request, self.cookie)
        return True

    def to_unified(self, record: LegacyRecord) -> SessionSnapshot:
        """Return the session that the cookie's data describes, in the site's currency."""
        if record.problem is not None:
            raise UnreadableRecordError(record.problem)
        return mapping.to_session(
            record.data, store=self.store, flow=get_flow(), currency=get_conf().DEFAULT_CURRENCY
        )

    def from_unified(
        self, session: SessionSnapshot, *, before: LegacyRecord | None = None
    ) -> LegacyRecord:
        """Return the data that says what the session says; it ends in 30 minutes at most."""
        data = writing.to_data(
            session,
            store=self.store,
            before=None if before is None else before.data,
            flow=get_flow(),
            now=get_clock().now(),
        )
        return CookieRecord.of(session.id, data)

    def health(self) -> AdapterHealth:
        """Say whether there is a secret that opens the cookie."""
        problem = None if self.cookie.secrets.usable else _NOTHING_OPENS
        return AdapterHealth(source=self.source, problem=problem)

    def _claims(self) -> Mapping[str, Any] | None:
        """Return the cookie's claims; None for none and for a refused one."""
        if self.request is None:
            return None
        try:
            return store.read(self.request, self.cookie, source=self.source)
        except LegacyTokenError:
            return None


def _record(claims: Mapping[str, Any]) -> CookieRecord:
    data = {name: value for name, value in claims.items() if name not in _ENVELOPE}
    try:
        digest = CookieRecord.of(claims["id"], data).digest
    except RecursionError:
        problem = "its JSON cannot be read: it is nested too deeply"
        return CookieRecord(
            id=claims["id"], data={}, digest=digest_of(claims["id"]), problem=problem
        )
    return CookieRecord(id=claims["id"], data=data, digest=digest, ends_at=tokens.ends_at(claims))
