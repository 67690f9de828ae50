"""Giving money back: refunds and voids, by the same protocol as charges."""
