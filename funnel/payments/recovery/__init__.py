"""Finding out what became of charges: the sweeper asks the gateway, a person decides the rest."""
