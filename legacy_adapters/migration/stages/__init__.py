"""Stages: where each endpoint is, for which sessions, and what that means for one session."""
