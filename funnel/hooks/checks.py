"""System checks of where orders are handed on to."""

from __future__ import annotations

import inspect
from typing import Any, Final

from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning
from django.utils.module_loading import import_string

from funnel.conf import get_conf
from funnel.hooks.calling import CallableTarget
from funnel.hooks.targets import parse
from sessions_unified.conf import get_conf as get_core_conf

CONSUMER: Final = "funnel.hooks.consumer.HookConsumer"


def check_hooks(**_: Any) -> list[CheckMessage]:
    """Validate the targets, and that the relay knows of them."""
    conf = get_conf()
    found = [message for name, given in conf.HOOKS.items() for message in _target(name, given)]
    if conf.HOOK_TIMEOUT_SECONDS <= 0 or conf.HOOK_TRIES < 1:
        found.append(
            Error(
                "HOOK_TIMEOUT_SECONDS or HOOK_TRIES is not above 0.",
                hint="Correct FUNNEL.",
                id="funnel.E032",
            )
        )
    if conf.HOOKS and CONSUMER not in get_core_conf().CONSUMERS:
        found.append(
            CheckWarning(
                "HOOKS has targets, and the relay does not write down what to tell them.",
                hint=f"Add {CONSUMER!r} to SESSIONS_UNIFIED['CONSUMERS'].",
                id="funnel.W030",
            )
        )
    return found


def _target(name: str, given: dict[str, Any]) -> list[CheckMessage]:
    try:
        target = parse(name, given)
    except ValueError as exc:
        hint = (
            "Give {'CALLABLE': dotted path}, or {'URL': 'https://…', 'SECRET': 'whsec_…'}. A "
            "secret is whsec_ and base64 of 24 to 64 random bytes."
        )
        return [Error(f"HOOKS[{name!r}]: {exc}.", hint=hint, id="funnel.E030")]
    return _callable(target) if isinstance(target, CallableTarget) else []


def _callable(target: CallableTarget) -> list[CheckMessage]:
    hint = "Name a function that takes one funnel.hooks.event.HookEvent; not an async one."
    try:
        found = import_string(target.path)
    except ImportError as exc:
        text = f"HOOKS[{target.name!r}] cannot be imported: {exc}"
        return [Error(text, hint=hint, id="funnel.E031")]
    if callable(found) and not inspect.iscoroutinefunction(found):
        return []
    text = f"HOOKS[{target.name!r}] names nothing that a worker can call."
    return [Error(text, hint=hint, id="funnel.E031")]
