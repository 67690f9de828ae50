"""Against card testing: after too many declines, no more charges for a while."""
