"""Commands of the adapters."""
