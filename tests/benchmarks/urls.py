"""The site's addresses, and the bare views under ``bench/``."""

from django.urls import path

from funnel.urls import handler400, handler403, handler404, handler500
from funnel.urls import urlpatterns as site
from tests.benchmarks.views import BareView, OneGetView

__all__ = ["handler400", "handler403", "handler404", "handler500"]

urlpatterns = [
    path("bench/bare/<session_id>", BareView.as_view()),
    path("bench/one-get/<session_id>", OneGetView.as_view()),
    *site,
]
