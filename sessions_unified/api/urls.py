"""The session API, to be included under a prefix: ``path("api/", include(…))``."""

from django.urls import path, register_converter

from sessions_unified.api import openapi, views
from sessions_unified.ids import SESSION_ID


class SessionIdConverter:
    """A path segment with the shape of a session id, old or new."""

    regex = SESSION_ID.pattern

    def to_python(self, value: str) -> str:
        """Return the id."""
        return value

    def to_url(self, value: str) -> str:
        """Return the segment."""
        return value


register_converter(SessionIdConverter, "session_id")

__all__ = ["openapi", "urlpatterns"]

app_name = "sessions_unified"
urlpatterns = [
    path("session/create", views.CreateView.as_view(), name="create"),
    path("session/<session_id:session_id>", views.DetailView.as_view(), name="detail"),
    path("session/<session_id:session_id>/validate", views.ValidateView.as_view(), name="validate"),
    path("session/<session_id:session_id>/extend", views.ExtendView.as_view(), name="extend"),
]
