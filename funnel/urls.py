"""The site's addresses."""

from csp.decorators import csp_update
from django.apps import apps
from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

# Swagger UI's page has one <style> of its own: allowed by its hash, on this page alone.
docs = csp_update(
    {"style-src": ["'self'", "'sha256-MMpT0iDxyjALd9PdfepImGX3DBfJPXZ4IlDWdPAgtn0='"]}
)(SpectacularSwaggerSplitView.as_view(url_name="schema"))

urlpatterns = [
    path("api/", include("sessions_unified.api.urls")),
    path("api/", include("funnel.api.urls")),
    path("api/schema", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs", docs, name="docs"),
    path("admin", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("", include("funnel.storefront.urls")),
]

if apps.is_installed("legacy_adapters"):  # until the cut-over is done
    urlpatterns.insert(0, path("api/", include("legacy_adapters.api.urls")))

handler400 = "funnel.views.bad_request"
handler403 = "funnel.views.forbidden"
handler404 = "funnel.views.not_found"
handler500 = "funnel.views.server_error"
