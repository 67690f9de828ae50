"""The storefront's addresses."""

from django.urls import path

from funnel.storefront import views

app_name = "storefront"
urlpatterns = [
    path("", views.shop, name="shop"),
    path("start", views.start, name="start"),
    path("checkout", views.checkout, name="checkout"),
    path("processing", views.processing, name="processing"),
    path("upsell-1", views.upsell, name="upsell-1"),
    path("upsell-2", views.upsell, name="upsell-2"),
    path("success", views.success, name="success"),
    path("start-again", views.start_again, name="start-again"),
    path("s/<str:secret>", views.link, name="link"),
]
