"""Parity: both sides compared off the request's path, and what that comes to."""
