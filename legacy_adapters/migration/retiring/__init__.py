"""The last phase: what stands in its way, who still uses the table, its archive, what may go."""
