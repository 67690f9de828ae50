"""Copies that contradict each other: put on record, shown side by side, decided by a person."""
