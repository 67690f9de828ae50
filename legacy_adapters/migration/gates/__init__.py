"""Gates: what must hold before an endpoint goes forward, each with its figure and what opens it."""
