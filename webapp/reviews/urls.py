"""Addresses of the review queue."""

from django.urls import path

from webapp.reviews import views

app_name = "reviews"
urlpatterns = [
    path("", views.queue, name="queue"),
    path("<uuid:match_id>/", views.match, name="match"),
    path("<uuid:match_id>/decide/", views.decide, name="decide"),
    path("decisions/<int:decision_id>/undo/", views.undo, name="undo"),
]
