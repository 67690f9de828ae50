"""Checkout and upsells, to be included beside the session API."""

from django.urls import path

from funnel.api import views

app_name = "funnel_api"
urlpatterns = [
    path("checkout/process", views.CheckoutView.as_view(), name="checkout"),
    path("upsell/process", views.UpsellView.as_view(), name="upsell"),
]
