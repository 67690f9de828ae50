"""The API of checkout and upsells."""
