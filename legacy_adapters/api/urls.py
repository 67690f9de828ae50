"""The old world's calls, to be included under the API's prefix while the adapters are there."""

from django.urls import path

from legacy_adapters.api.views import SyncView

app_name = "legacy_adapters"
urlpatterns = [
    path("session/sync", SyncView.as_view(), name="sync"),
]
