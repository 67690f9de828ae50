"""Repair: the one way to the other side, by copying state under the session's lock."""
