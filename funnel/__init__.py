"""The site: what a shopper or an API client touches."""

from funnel.celery import app as celery_app

__all__ = ["celery_app"]
