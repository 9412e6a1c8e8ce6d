"""Addresses of a catalogue's private side."""

from django.urls import path

from webapp.private import views

app_name = "private"
urlpatterns = [
    path("<uuid:catalogue_id>/private/", views.page, name="page"),
    path("<uuid:catalogue_id>/private/begin/", views.begin, name="begin"),
    path("<uuid:catalogue_id>/private/again/", views.again, name="again"),
    path("<uuid:catalogue_id>/private/upload/", views.upload, name="upload"),
    path("<uuid:catalogue_id>/private/pictures/", views.pictures, name="pictures"),
    path("<uuid:catalogue_id>/private/entries/", views.entries, name="entries"),
    path("<uuid:catalogue_id>/private/clients/", views.clients, name="clients"),
    path("<uuid:catalogue_id>/private/clients/<uuid:client_id>/remove/", views.client_remove, name="client-remove"),
    path("<uuid:catalogue_id>/private/kit.zip", views.kit_download, name="kit"),
]
