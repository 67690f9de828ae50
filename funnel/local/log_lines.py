"""What a person who watches the demo wants of a log line: what happened, in few words."""

from __future__ import annotations

import re

NOISE = tuple(
    re.compile(pattern)
    for pattern in (
        r"^\s*$",
        r"^request_started ",
        r"Scheduler: Sending due task ",
        r"Task \S+ received$",
        r"Task \S+ succeeded in \S+: (None|0)$",  # a periodic task with nothing to do
    )
)
# What matters where many requests of many processes are searched, and not here.
DETAILS = re.compile(
    r" (request_id|user_id|user_agent|logger|level|timestamp|task_id)=('[^']*'|\S+)"
)
REQUEST = re.compile(r"^event='request_\w+' request='([^']*)' code=(\d+)")
EVENT = re.compile(r"^event=(['\"])(.*?)\1(?= |$)")
CELERY = re.compile(r"^\[[^]]*: (\w+)/[\w-]+\] ")


def tidy(line: str) -> str | None:
    """Return the line in short; None: it says nothing of interest."""
    line = EVENT.sub(r"\2", REQUEST.sub(r"\1 \2", DETAILS.sub("", line)))
    line = CELERY.sub(lambda found: "" if found[1] == "INFO" else f"{found[1]} ", line)
    return None if any(pattern.search(line) for pattern in NOISE) else line
