"""Addresses of works."""

from django.urls import path

from webapp.registry import views

app_name = "registry"
urlpatterns = [
    path("<uuid:work_id>/", views.work_page, name="work"),
    path("<uuid:work_id>/<slug:size>.jpg", views.work_image, name="work-image"),
]
