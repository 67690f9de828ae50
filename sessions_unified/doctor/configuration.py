"""The settings, as Django's system checks and the core's own see them."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.core import checks

from sessions_unified.doctor.findings import Check, Finding, failed, ok, warned

_PLAIN_HTTP: Final = "sessions_unified.W002"
_MANAGE_CHECK: Final = "manage.py check --deploy says it at length."


def _settings() -> Finding:
    found = checks.run_checks(include_deployment_checks=True)
    errors = [each for each in found if each.is_serious()]
    # Django's own advice is long, and some of it a matter of taste: `check --deploy` gives it.
    warnings = [each for each in found if str(each.id).startswith("sessions_unified.")]
    is_plain = [each for each in warnings if each.id == _PLAIN_HTTP and _is_plain_on_purpose()]
    warnings = [each for each in warnings if each not in is_plain]
    if errors:
        return failed(_said(errors), errors[0].hint or _MANAGE_CHECK)
    if warnings:
        return warned(_said(warnings), warnings[0].hint or _MANAGE_CHECK)
    if is_plain:
        return ok("plain HTTP on purpose")
    return ok("no check of the settings objects")


def _is_plain_on_purpose() -> bool:
    """Tell whether nothing here expects HTTPS, Django's own cookies neither: a laptop."""
    return not (settings.SESSION_COOKIE_SECURE or settings.SECURE_SSL_REDIRECT)


def _said(messages: list[checks.CheckMessage]) -> str:
    return " ".join(f"{each.msg} ({each.id})" for each in messages)


CHECKS: Final = [Check(name="settings", look=_settings, advice=_MANAGE_CHECK)]
