"""The settings, as Django's system checks and the core's own see them."""

from __future__ import annotations

from typing import Final

from django.core import checks

from sessions_unified.doctor.findings import Check, Finding, failed, ok, warned

_MANAGE_CHECK: Final = "manage.py check --deploy says it at length."


def _settings() -> Finding:
    found = checks.run_checks(include_deployment_checks=True)
    errors = [each for each in found if each.is_serious()]
    # Django's own advice is long, and some of it a matter of taste: `check --deploy` gives it.
    warnings = [each for each in found if str(each.id).startswith("sessions_unified.")]
    if errors:
        return failed(_said(errors), errors[0].hint or _MANAGE_CHECK)
    if warnings:
        return warned(_said(warnings), warnings[0].hint or _MANAGE_CHECK)
    return ok("no check of the settings objects")


def _said(messages: list[checks.CheckMessage]) -> str:
    return " ".join(f"{each.msg} ({each.id})" for each in messages)


CHECKS: Final = [Check(name="settings", look=_settings, advice=_MANAGE_CHECK)]
