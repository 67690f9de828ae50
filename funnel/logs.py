"""What the site logs: one line of fields an event, each with its request or task, none with PII.

`funnel.settings` takes the configuration from here; importing it there connects the receivers.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import structlog
from celery import signals as celery_signals
from django.dispatch import receiver
from django_structlog import signals

from funnel.redaction import redact_cards, redact_links

if TYPE_CHECKING:
    from django.http import HttpRequest
    from structlog.typing import EventDict, Processor, WrappedLogger

# A last net below all others: what an unforeseen error quotes in its message.
_SECRETS: Final = (
    (re.compile(r"[\w.+%-]+(?:@|%40)[\w-]+(?:\.[\w-]+)+"), "[email]"),
    (re.compile(r"eyJ[\w-]{10,}(?:\.[\w-]*){1,3}\.[\w-]+"), "[token]"),
)


def drop_query(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """Cut the query off a logged request line: staff search by email; a structlog processor."""
    line = event.get("request")
    if isinstance(line, str):
        path, mark, _ = line.partition("?")
        event["request"] = f"{path}?[redacted]" if mark else path
    return event


def scrub(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """Replace email addresses and tokens in every text; a structlog processor."""
    for field, text in event.items():
        if isinstance(text, str) and ("@" in text or "%40" in text or "eyJ" in text):
            for pattern, replacement in _SECRETS:
                text = pattern.sub(replacement, text)  # noqa: PLW2901  (one after the other)
            event[field] = text
    return event


_SHARED: Final[list[Processor]] = [
    structlog.contextvars.merge_contextvars,
    redact_links,
    drop_query,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def configure_structlog() -> None:
    """Send what structlog is told through the standard library's logging."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def logging_config(*, shape: str, level: str) -> dict[str, Any]:
    """Return Django's ``LOGGING``; ``shape`` is ``json``, or ``lines`` for people."""
    lines = structlog.processors.KeyValueRenderer(
        key_order=["event", "request", "code"], drop_missing=True
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": _formatter(structlog.processors.JSONRenderer()),
            "lines": _formatter(lines),
        },
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": shape}},
        "root": {"handlers": ["console"], "level": level},
        "loggers": {
            "django_structlog": {"level": level},
            "django.server": {"level": "WARNING"},
            "django.request": {"level": "ERROR"},
            # They log whole addresses, and every header.
            "httpx2": {"level": "WARNING"},
            "httpcore2": {"level": "WARNING"},
        },
    }


def _formatter(renderer: Processor) -> dict[str, Any]:
    return {
        "()": structlog.stdlib.ProcessorFormatter,
        # What other libraries log by the standard library is given the same fields.
        "foreign_pre_chain": _SHARED,
        "processors": [
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            scrub,
            redact_cards,
            renderer,
        ],
    }


@receiver(signals.bind_extra_request_finished_metadata)
def add_session(request: HttpRequest, log_kwargs: dict[str, Any], **_: object) -> None:
    """Say which session a request was about, and which tier answered.

    One that was refused before any tier was asked is about the session that its address names.
    """
    served: tuple[str, str] | None = getattr(request, "served_session", None)
    if served is not None:
        log_kwargs["session"], log_kwargs["tier"] = served
        return
    named = request.resolver_match and request.resolver_match.kwargs.get("session_id")
    if named:
        log_kwargs["session"] = named


@celery_signals.setup_logging.connect
def leave_logging_alone(**_: object) -> None:
    """Keep Celery from replacing the site's logging in its workers."""


@celery_signals.task_prerun.connect
def bind_task(task_id: str, **_: object) -> None:
    """Give every line of a task its id."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(task_id=task_id)


@celery_signals.task_postrun.connect
def forget_task(**_: object) -> None:
    """Leave no id to the lines between tasks."""
    structlog.contextvars.clear_contextvars()
