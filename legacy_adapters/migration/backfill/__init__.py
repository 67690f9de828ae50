"""A backfill: runs cut into slices, their workers and pace, and what they report."""
