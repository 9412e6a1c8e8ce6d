"""Addresses of jobs."""

from django.urls import path

from webapp.jobs import views

app_name = "jobs"
urlpatterns = [
    path("<uuid:job_id>/", views.status, name="status"),
    path("<uuid:job_id>/cancel/", views.cancel, name="cancel"),
]
