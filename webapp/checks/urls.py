"""Addresses of checks."""

from django.urls import path

from webapp.checks import pictures, views

app_name = "checks"
urlpatterns = [
    path("", views.new, name="new"),
    path("history/", views.history, name="history"),
    path("batch/<uuid:batch>/", views.batch, name="batch"),
    path("<uuid:check_id>/", views.detail, name="detail"),
    path("<uuid:check_id>/delete/", views.delete, name="delete"),
    path("<uuid:check_id>/receipt.json", views.receipt, name="receipt"),
    path("<uuid:check_id>/compare/<int:ordinal>/", views.compare, name="compare"),
    path("<uuid:check_id>/picture.jpg", pictures.upload, name="picture"),
    path("<uuid:check_id>/heat.jpg", pictures.heat, name="heat"),
    path("<uuid:check_id>/compare/<int:ordinal>/<slug:rendition>.jpg", pictures.rendition, name="rendition"),
]
