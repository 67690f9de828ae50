"""The control room: one page for the whole migration, and the buttons that move it."""
