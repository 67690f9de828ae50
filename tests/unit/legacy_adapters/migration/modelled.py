"""A module with a model of no app."""

from django.db import models


class Manager(models.Model):  # noqa: DJ008  (no row is ever made)
    """Cannot be imported: its app is not in INSTALLED_APPS."""
