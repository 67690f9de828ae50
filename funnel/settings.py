"""The site's settings, all from the environment. What is secret has no default.

`docs/reference/settings.md` lists the variables.
"""

import os
import sys
from pathlib import Path
from typing import Any

import environ
from celery.schedules import crontab
from django.core.exceptions import ImproperlyConfigured
from redis.backoff import NoBackoff
from redis.retry import Retry

from funnel.logs import configure_structlog, logging_config
from funnel.processes import process_name
from sessions_unified.postgres import BudgetedConnection

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()


def _required(name: str) -> str:
    """Return an environment variable that has no default; empty is as good as missing."""
    value: str = env.str(name)
    if not value:
        raise ImproperlyConfigured(f"{name} is empty.")
    return value


SECRET_KEY = _required("SECRET_KEY")
DEBUG = env.bool("DEBUG", default=False)
SITE_URL = env.str("SITE_URL", default="http://127.0.0.1:8000")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

# Plain HTTP is for a laptop; everything else is served over HTTPS.
INSECURE_HTTP = env.bool("INSECURE_HTTP", default=False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not INSECURE_HTTP
SESSION_COOKIE_NAME = "funnel_staff" if INSECURE_HTTP else "__Host-funnel_staff"
CSRF_COOKIE_NAME = "funnel_csrf" if INSECURE_HTTP else "__Host-funnel_csrf"
CSRF_COOKIE_HTTPONLY = True
SECURE_SSL_REDIRECT = not INSECURE_HTTP and env.bool("SSL_REDIRECT", default=True)
SECURE_HSTS_SECONDS = 0 if INSECURE_HTTP else env.int("HSTS_SECONDS", default=31_536_000)
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = SECURE_HSTS_SECONDS > 0
if env.bool("BEHIND_TLS_PROXY", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "frame-ancestors": ["'none'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "object-src": ["'none'"],
    },
}

INSTALLED_APPS = [
    "funnel",
    "sessions_unified",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_structlog",
]

MIDDLEWARE = [
    "funnel.probes.ProbeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
]

ROOT_URLCONF = "funnel.urls"
WSGI_APPLICATION = "funnel.wsgi.application"
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "funnel" / "storefront" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

_POOL = {
    "min_size": 1,
    "max_size": env.int("DATABASE_POOL_MAX", default=8),
    # A shopper rather sees "try again" than waits: for a connection, and for the answers.
    "timeout": env.float("DATABASE_POOL_SECONDS", default=2),
    "connection_class": BudgetedConnection,
    # The pool tries again by itself this long, ever more rarely; then at the next request.
    "reconnect_timeout": 10,
}


def _pooled(found: dict[str, Any], **pool: int) -> dict[str, Any]:
    """Return a database of the environment, reached over a pool."""
    options = found.setdefault("OPTIONS", {})
    options["pool"] = {**_POOL, **pool}
    options.setdefault("connect_timeout", 2)
    # What pg_stat_activity calls this process: "funnel gunicorn", "funnel celery", …
    options.setdefault(
        "application_name", env.str("APPLICATION_NAME", default="") or process_name(sys.argv)
    )
    # The pool tries a connection before it hands it out: a restarted server costs nobody an error.
    found["CONN_HEALTH_CHECKS"] = True
    return found


DATABASES = {"default": _pooled(env.db_url("DATABASE_URL"))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = _required("REDIS_URL")
_REDIS_TIMEOUT_SECONDS = env.int("REDIS_TIMEOUT_MS", default=50) / 1000
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": REDIS_URL,
        "OPTIONS": {
            "SOCKET_CONNECT_TIMEOUT": _REDIS_TIMEOUT_SECONDS,
            "SOCKET_TIMEOUT": _REDIS_TIMEOUT_SECONDS,
            # redis-py retries ten times by default: a hung server would cost a minute a call.
            "CONNECTION_POOL_KWARGS": {"max_connections": 64, "retry": Retry(NoBackoff(), 0)},
        },
    },
}


def _keys(text: str) -> dict[str, str]:
    """Return kid → key of ``kid:key,kid:key``; the first issues."""
    pairs = (part.partition(":") for part in text.split(",") if part.strip())
    return {kid.strip(): key.strip() for kid, _, key in pairs}


SESSIONS_UNIFIED = {
    "MANAGER": "sessions_unified.manager.UnifiedSessionManager",
    "PRICER": "funnel.catalog.price",
    "TOKEN_KEYS": _keys(_required("SESSION_TOKEN_KEYS")),
    "ENCRYPTION_KEYS": _keys(env.str("ENCRYPTION_KEYS", default="")),
    "TOKEN_ISSUER": SITE_URL,
    "COOKIE_NAME": "funnel_session" if INSECURE_HTTP else "__Host-funnel_session",
    "COOKIE_SECURE": not INSECURE_HTTP,
    "REDIS_BUDGET_MS": env.int("REDIS_BUDGET_MS", default=50),
    "DATABASE_BUDGET_SECONDS": env.float("DATABASE_BUDGET_SECONDS", default=5),
    "L1_ENABLED": env.bool("L1_ENABLED", default=True),
    "PREPARED_STATEMENTS": env.bool("PREPARED_STATEMENTS", default=True),
    "WATCH_SECONDS": env.float("WATCH_SECONDS", default=5),
}

# Where paid orders are handed on to: a callable, a signed webhook, or both.
_HOOKS: dict[str, dict[str, str]] = {}
if env.str("ORDER_HOOK_CALLABLE", default=""):
    _HOOKS["callable"] = {"CALLABLE": env.str("ORDER_HOOK_CALLABLE")}
if env.str("ORDER_HOOK_URL", default=""):
    _HOOKS["webhook"] = {
        "URL": env.str("ORDER_HOOK_URL"),
        "SECRET": _required("ORDER_HOOK_SECRET"),
    }

FUNNEL = {
    "GATEWAY": env.str("PAYMENT_GATEWAY", default="funnel.payments.sandbox.SandboxGateway"),
    "DECLINES_PER_ADDRESS": env.int("DECLINES_PER_ADDRESS", default=30),
    "DECLINES_PER_CARD": env.int("DECLINES_PER_CARD", default=10),
    "TRUSTED_PROXIES": env.int("TRUSTED_PROXIES", default=0),
    "HOOKS": _HOOKS,
    "NMI": {
        "URL": env.str("NMI_URL", default="https://secure.nmi.com/api/"),
        "SECURITY_KEY": env.str("NMI_SECURITY_KEY", default=""),
        "WEBHOOK_KEYS": env.list("NMI_WEBHOOK_KEYS", default=[]),
        "TOKENIZATION_KEY": env.str("NMI_TOKENIZATION_KEY", default=""),
        "COLLECT_URL": env.str(
            "NMI_COLLECT_URL", default="https://secure.nmi.com/token/Collect.js"
        ),
        "TIMEOUT_SECONDS": env.float("NMI_TIMEOUT_SECONDS", default=25),
    },
}
if _HOOKS:
    SESSIONS_UNIFIED["CONSUMERS"] = ["funnel.hooks.consumer.HookConsumer"]

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = env.path("STATIC_ROOT", default=str(BASE_DIR / ".local" / "static"))
STATICFILES_DIRS = [BASE_DIR / "funnel" / "storefront" / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True

# The API's views choose everything else for themselves (sessions_unified.api.base).
REST_FRAMEWORK = {"DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema"}
SPECTACULAR_SETTINGS = {
    "TITLE": "Funnel API",
    "DESCRIPTION": "Sessions, checkout and upsells. Errors are problem+json (RFC 9457): branch on "
    "`code`. A session's ETag is its version.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "ENUM_NAME_OVERRIDES": {"SessionStatus": "sessions_unified.flow.STATUSES"},
}

CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", default=REDIS_URL)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TASK_TIME_LIMIT = 300
# A wake-up that no worker took before the next one came is dropped: one is enough.
CELERY_BEAT_SCHEDULE = {
    "flush-touches": {
        "task": "sessions_unified.flush_pending_touches",
        "schedule": 10.0,
        "options": {"expires": 10},
    },
    "expire-due": {
        "task": "sessions_unified.expire_due_sessions",
        "schedule": 30.0,
        "options": {"expires": 30},
    },
    "purge": {
        "task": "sessions_unified.purge_finished_sessions",
        "schedule": crontab(minute="2-59/5"),
        "options": {"expires": 300},
    },
    "audit": {"task": "sessions_unified.audit_tiers_sample", "schedule": crontab(minute="32")},
    "ask-gateway": {
        "task": "funnel.ask_gateway",
        "schedule": 10.0,
        "options": {"expires": 10},
    },
    "deliver-hooks": {
        "task": "funnel.deliver_hooks",
        "schedule": 10.0,
        "options": {"expires": 10},
    },
    "forget-keys": {"task": "funnel.forget_idempotency_keys", "schedule": crontab(minute="47")},
    "forget-deliveries": {
        "task": "funnel.forget_deliveries",
        "schedule": crontab(hour="3", minute="17"),
    },
}

configure_structlog()
DJANGO_STRUCTLOG_IP_LOGGING_ENABLED = False
LOGGING = logging_config(
    shape=env.str("LOG_FORMAT", default="json"), level=env.str("LOG_LEVEL", default="INFO")
)

# Who may read /metrics (`funnel.probes`), and where processes put what they count.
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
METRICS_PORT = env.int("METRICS_PORT", default=0)
_METRICS_DIR = env.str("PROMETHEUS_MULTIPROC_DIR", default="")
if _METRICS_DIR:
    Path(_METRICS_DIR).mkdir(parents=True, exist_ok=True)
else:
    # prometheus_client takes an empty one for the working directory.
    os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)

# The old shop: these lines go with legacy_adapters/ and funnel/legacy_settings.py.
from funnel.legacy_settings import LEGACY_ADAPTERS, MIGRATION, plug_in  # noqa: E402, F401

plug_in(globals())
