"""Signals of the core. Receivers run inside the change's transaction and may refuse it."""

from django.dispatch import Signal

# Sent once a batch with ``sessions``: a list of `SessionSnapshot` just inserted from elsewhere.
session_imported = Signal()

# Sent with ``session_ids``: sessions just replaced by tombstones; receivers forget their copies.
session_deleted = Signal()

# Sent with ``session_ids``: sessions that a sweep has settled or purged, past any manager.
sessions_swept = Signal()
