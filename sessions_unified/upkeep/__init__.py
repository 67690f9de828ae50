"""Work beside the shoppers: expiry and purge in batches, and the pace that spares them."""
