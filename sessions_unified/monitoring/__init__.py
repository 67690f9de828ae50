"""What operators see: readiness, metrics at a scrape, and what they are measured from."""
