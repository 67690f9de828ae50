"""What of the old world is reached over HTTP."""
