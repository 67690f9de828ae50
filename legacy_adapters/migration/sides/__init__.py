"""The two sides of a session: which comes first, how each is read and written."""
