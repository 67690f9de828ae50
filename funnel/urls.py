"""The site's addresses."""

from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from funnel import views

urlpatterns = [
    path("api/", include("sessions_unified.api.urls")),
    path("api/", include("funnel.api.urls")),
    path("api/schema", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    path("admin/", admin.site.urls),
    path("livez", views.livez, name="livez"),
    path("", include("funnel.storefront.urls")),
]

handler400 = "funnel.views.bad_request"
handler403 = "funnel.views.forbidden"
handler404 = "funnel.views.not_found"
handler500 = "funnel.views.server_error"
