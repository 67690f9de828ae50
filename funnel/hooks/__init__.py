"""The order handed on: what the shop's other systems are told, at least once and in order."""
