"""Checkout and upsells, to be included beside the session API."""

from django.urls import path

from funnel.api import views
from funnel.payments.webhooks.views import NmiWebhookView

app_name = "funnel_api"
urlpatterns = [
    path("checkout/process", views.CheckoutView.as_view(), name="checkout"),
    path("upsell/process", views.UpsellView.as_view(), name="upsell"),
    path("webhooks/nmi", NmiWebhookView.as_view(), name="nmi_webhook"),
]
