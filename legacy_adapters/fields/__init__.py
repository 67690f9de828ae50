"""Fields in the old formats: read with care, and written back as they were."""
