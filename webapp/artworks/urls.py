"""Addresses of artworks, their proofs, and trials of one altered pixel."""

from django.urls import path

from webapp.artworks import pictures, views, views_keys

app_name = "artworks"
urlpatterns = [
    path("", views.artwork_list, name="list"),
    path("new/", views.new, name="new"),
    path("what-changed/", views_keys.what_changed, name="what-changed"),
    path("what-changed/<uuid:trial_id>/", views_keys.trial_page, name="trial"),
    path("what-changed/<uuid:trial_id>/preview.jpg", pictures.trial_preview, name="trial-preview"),
    path("what-changed/<uuid:trial_id>/<slug:part>.png", pictures.trial_picture, name="trial-picture"),
    path("<uuid:artwork_id>/", views.detail, name="detail"),
    path("<uuid:artwork_id>/edit/", views.edit, name="edit"),
    path("<uuid:artwork_id>/delete/", views.delete, name="delete"),
    path("<uuid:artwork_id>/restore/", views.restore, name="restore"),
    path("<uuid:artwork_id>/forget-prompt/", views.forget_prompt, name="forget-prompt"),
    path("<uuid:artwork_id>/preview.jpg", pictures.preview, name="preview"),
    path("<uuid:artwork_id>/picture.png", pictures.picture, name="picture"),
    path("<uuid:artwork_id>/recipe.json", pictures.recipe, name="recipe"),
    path("<uuid:artwork_id>/record.json", pictures.record, name="record"),
    path("<uuid:artwork_id>/prove/", views_keys.prove, name="prove"),
    path("<uuid:artwork_id>/proofs/<uuid:proof_id>/", views_keys.proof_page, name="proof"),
    path("<uuid:artwork_id>/proofs/<uuid:proof_id>/preview.jpg", pictures.proof_preview, name="proof-preview"),
    path("<uuid:artwork_id>/proofs/<uuid:proof_id>/<slug:part>.png", pictures.proof_picture, name="proof-picture"),
]
