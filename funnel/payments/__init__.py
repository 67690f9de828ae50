"""Money: attempts, the charge protocol, gateways."""
