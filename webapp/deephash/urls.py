"""Addresses of a catalogue's deep hash."""

from django.urls import path

from webapp.deephash import views

app_name = "deephash"
urlpatterns = [
    path("<uuid:catalogue_id>/hash/", views.hash_page, name="page"),
    path("<uuid:catalogue_id>/hash/choose/", views.hash_choose, name="choose"),
    path("<uuid:catalogue_id>/hash/train/", views.hash_train, name="train"),
]
