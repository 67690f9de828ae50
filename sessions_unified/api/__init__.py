"""The session API over HTTP."""
