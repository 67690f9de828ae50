"""Records become sessions, batch by batch: what is new, what replaces, what is merged."""
