"""The site's environment variables: names and defaults as its settings read them."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from docs.generators.markdown import ROOT, table

if TYPE_CHECKING:
    from collections.abc import Iterator

_SETTINGS: Final = ROOT / "funnel" / "settings.py"
_LEGACY_SETTINGS: Final = ROOT / "funnel" / "legacy_settings.py"
# What each variable means.
_SITE: Final = {
    "SECRET_KEY": "Django's secret key: it signs the staff's login sessions and CSRF tokens.",
    "SESSION_TOKEN_KEYS": "The keys that encrypt shoppers' session tokens: `kid:key` pairs, "
    "separated by commas. A key is base64url of 32 random bytes. The first issues, all of them "
    "open ([rotating them](docs/howto/rotate-token-keys.md)).",
    "DATABASE_URL": "The PostgreSQL database (14 or newer): "
    "`postgresql://user:password@host:5432/name`.",
    "DATABASE_POOL_MAX": "Most connections to it from one process.",
    "DATABASE_POOL_SECONDS": "Longest wait for a connection of that pool.",
    "DATABASE_BUDGET_SECONDS": "Longest wait for the database in one request, all statements "
    "together.",
    "APPLICATION_NAME": "What PostgreSQL calls this process in `pg_stat_activity`. Empty: `funnel` "
    "and its program, such as `funnel gunicorn` or `funnel run_relay`.",
    "L1_ENABLED": "`0` turns off the copies in this process' memory: Redis and the database "
    "answer.",
    "PREPARED_STATEMENTS": "`0` behind a transaction pooler that cannot keep prepared statements.",
    "WATCH_SECONDS": "How often a process sets its clock by the database and sees whether it "
    "answers.",
    "REDIS_URL": "A server that speaks Redis' protocol, for the cache and the task queue.",
    "REDIS_TIMEOUT_MS": "Longest wait for one Redis command, and for its connection.",
    "REDIS_BUDGET_MS": "Longest wait for Redis in one request, all commands together.",
    "CELERY_BROKER_URL": "Another broker for the tasks, RabbitMQ for example.",
    "SITE_URL": "Where shoppers find the shop. One-time links begin with it, and it is the `iss` "
    "of session tokens: changing it makes the tokens in use invalid.",
    "ALLOWED_HOSTS": "Host names that the site answers to, separated by commas.",
    "CSRF_TRUSTED_ORIGINS": "More origins whose pages may send unsafe requests with cookies, "
    "separated by commas.",
    "INSECURE_HTTP": "`1` serves plain HTTP: cookies without `Secure` and without the `__Host-` "
    "prefix. For a laptop.",
    "SSL_REDIRECT": "Answer plain HTTP by a redirect to HTTPS.",
    "HSTS_SECONDS": "How long browsers remember to use HTTPS (`Strict-Transport-Security`).",
    "BEHIND_TLS_PROXY": "`1` believes the header `X-Forwarded-Proto`. Only behind a proxy that "
    "always sets it.",
    "PAYMENT_GATEWAY": "Dotted path of the payment gateway's class.",
    "ENCRYPTION_KEYS": "The keys that encrypt vault ids and payment tokens at rest: "
    "`kid:key` pairs, as `SESSION_TOKEN_KEYS`. The first seals, all of them open "
    "([rotating them](docs/howto/rotate-keys.md)). Empty: made from `SECRET_KEY`.",
    "DECLINES_PER_ADDRESS": "Declines an hour after which a network address is refused further "
    "charges. 0: never.",
    "DECLINES_PER_CARD": "The same for a card.",
    "TRUSTED_PROXIES": "How many reverse proxies of yours add to `X-Forwarded-For`; 0 when there "
    "is none: the header is not read.",
    "ORDER_HOOK_CALLABLE": "Dotted path of a function that is told of orders "
    "([hand orders on](docs/howto/hand-orders-on.md)).",
    "ORDER_HOOK_URL": "Where a signed webhook tells of orders.",
    "ORDER_HOOK_SECRET": "What signs it: `whsec_` and base64 of 24 to 64 random bytes; required "
    "with `ORDER_HOOK_URL`. Several, separated by commas, all sign.",
    "NMI_URL": "The API of NMI, or of a white-label host: what `transact.php` and `query.php` are "
    "below.",
    "NMI_SECURITY_KEY": "The merchant account's private key.",
    "NMI_WEBHOOK_KEYS": "The signing keys of NMI's webhooks, separated by commas; empty: there are "
    "no webhooks.",
    "NMI_TOKENIZATION_KEY": "The public key with which Collect.js makes payment tokens.",
    "NMI_COLLECT_URL": "Where browsers load Collect.js from.",
    "NMI_TIMEOUT_SECONDS": "Longest wait for an answer of NMI, the whole call.",
    "STATIC_ROOT": "Where `manage.py collectstatic` puts the static files.",
    "METRICS_TOKEN": "What Prometheus sends as `Authorization: Bearer …` to read `/metrics`. "
    "Empty: nobody may, except with `INSECURE_HTTP`.",
    "METRICS_PORT": "Where a worker answers `/metrics` too, with what it has counted. 0: nowhere.",
    "PROMETHEUS_MULTIPROC_DIR": "A directory where the processes of one machine or container put "
    "what they count, so that any of them can show it all ([monitor](docs/howto/monitor.md)). "
    "Empty: each shows its own.",
    "LOG_FORMAT": "`json`, or `lines` for people.",
    "LOG_LEVEL": "The least severe messages that are logged.",
    "DEBUG": "Django's debug mode. Never in production.",
}
# The old shop's: read by a file that goes with it.
_LEGACY: Final = {
    "LEGACY_DATABASE_URL": "The old shop's database, where its session table is. Empty: the main "
    "database.",
    "LEGACY_SESSION_TABLE": "The old shop's session table: `table` or `schema.table`.",
    "LEGACY_COOKIE_SECRETS": "The secrets that the old shop signs its cookie with, separated by "
    "commas: all of them open, the first signs. Empty: no old cookie is read or written.",
    "LEGACY_COMPROMISED_SECRETS": "Secrets of the old shop that are out, such as one that was in "
    "its code. Tokens signed with them are refused and recorded.",
    "SYNCS_PER_MINUTE": "How often a minute one address, and one session, may synchronise its "
    "browser's old sessions.",
    "SESSION_MANAGER": "Dotted path of the session manager; "
    "`legacy_adapters.migration.MigratingSessionManager` follows the migration's stages. Empty: "
    "the plain one, which knows no old shop.",
    "MIGRATION_STAGE_CACHE_SECONDS": "How old what a process knows of the stages may be, for "
    "reads.",
    "MIGRATION_SHADOW_SAMPLE": "The part of the reads that is compared with the other side, 0 "
    "to 1.",
    "MIGRATION_MIN_COMPARISONS": "Comparisons of an endpoint before a gate looks at their outcome.",
    "MIGRATION_PARITY_THRESHOLD": "What the lower bound of the agreeing part must exceed, 0 to 1.",
    "MIGRATION_MAX_MARK_AGE_SECONDS": "A gate is shut while a session has waited longer for its "
    "repair.",
    "MIGRATION_UNLISTED_LIFE_SECONDS": "How long a session lives in each old store that the server "
    "cannot list. One that is not named: a day.",
}
ENVIRONMENT: Final = _SITE | (_LEGACY if _LEGACY_SETTINGS.exists() else {})
_CONDITIONAL: Final = {"ORDER_HOOK_SECRET"}  # required where another variable is set, as it says
_DEFAULTS: Final = {"STATIC_ROOT": "`.local/static`", "CELERY_BROKER_URL": "`REDIS_URL`"}


def environment() -> dict[str, str | None]:
    """Return variable → default (None: required), as the settings read them."""
    found: dict[str, str | None] = {}
    for call in _reads():
        name = ast.literal_eval(call.args[0])
        defaults = [each.value for each in call.keywords if each.arg == "default"]
        default = default_text(name, defaults[0]) if defaults else None
        if name in _CONDITIONAL:
            default = "empty"
        found[name] = found.get(name) or default
    return found


def _reads() -> Iterator[ast.Call]:
    """Yield the calls that read a variable by its name."""
    for path in (_SETTINGS, _LEGACY_SETTINGS):
        tree = ast.parse(path.read_text(encoding="utf-8") if path.exists() else "")
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            reads = ast.unparse(call.func)
            is_read = reads.startswith("env.") or reads == "_required"
            if is_read and call.args and isinstance(call.args[0], ast.Constant):
                yield call


def default_text(name: str, value: ast.expr) -> str:
    """Return a default as a person would set it."""
    if name in _DEFAULTS:
        return _DEFAULTS[name]
    literal = ast.literal_eval(value)
    if isinstance(literal, bool):
        literal = int(literal)
    if isinstance(literal, list):
        literal = ",".join(literal)
    if isinstance(literal, dict):
        literal = ",".join(f"{key}={each}" for key, each in literal.items())
    return f"`{literal}`" if literal != "" else "empty"


def environment_block() -> str:
    """Return the table of the site's environment variables."""
    defaults = environment()
    unread, undescribed = set(ENVIRONMENT) - set(defaults), set(defaults) - set(ENVIRONMENT)
    if unread or undescribed:
        raise SystemExit(
            f"docs/generators/environment.py describes {sorted(unread) or 'nothing'} that the "
            f"settings do not read, and lacks {sorted(undescribed) or 'nothing'} that they do."
        )
    rows = (
        (f"`{name}`", defaults[name] or "**required**", text) for name, text in ENVIRONMENT.items()
    )
    return table(("Variable", "Default", "What it does"), rows)
