"""Addresses of catalogues, their items, their imports, and of what was deleted."""

from django.urls import path

from webapp.catalogues import views, views_imports

app_name = "catalogues"
urlpatterns = [
    path("", views.catalogue_list, name="list"),
    path("new/", views.catalogue_new, name="new"),
    path("<uuid:catalogue_id>/", views.catalogue_detail, name="detail"),
    path("<uuid:catalogue_id>/edit/", views.catalogue_edit, name="edit"),
    path("<uuid:catalogue_id>/delete/", views.catalogue_delete, name="delete"),
    path("<uuid:catalogue_id>/pictures/", views.items_change, name="items"),
    path("<uuid:catalogue_id>/upload/", views_imports.upload, name="upload"),
    path("items/<uuid:item_id>/", views.item_edit, name="item"),
    path("imports/<uuid:import_id>/", views_imports.import_page, name="import"),
    path("imports/<uuid:import_id>/results.csv", views_imports.import_results, name="import-results"),
    path("imports/<uuid:import_id>/run/", views_imports.import_run, name="import-run"),
    path("imports/<uuid:import_id>/resume/", views_imports.import_resume, name="import-resume"),
    path("imports/<uuid:import_id>/discard/", views_imports.import_discard, name="import-discard"),
    path("imports/<uuid:import_id>/delete/", views_imports.import_delete, name="import-delete"),
    path("deletions/<uuid:deletion_id>/undo/", views.deletion_undo, name="undo"),
]
