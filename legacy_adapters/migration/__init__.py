"""The move from the legacy stores onto unified sessions."""
