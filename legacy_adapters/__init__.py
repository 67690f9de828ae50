"""Everything that knows the old world; deletable whole after the cut-over."""
