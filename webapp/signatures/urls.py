"""Addresses of works' signatures."""

from django.urls import path

from webapp.signatures import views, views_generators

app_name = "signatures"
urlpatterns = [
    path("works/<uuid:work_id>/original", views.original, name="original"),
    path("works/<uuid:work_id>/signature/", views.work_page, name="work"),
    path("works/<uuid:work_id>/signature/sign/", views.work_sign, name="sign"),
    path("works/<uuid:work_id>/signature/revoke/", views.work_revoke, name="revoke"),
    path("works/<uuid:work_id>/signature/restore/", views.work_restore, name="restore"),
    path("works/<uuid:work_id>/signature/signed.png", views.signed, name="signed"),
    path("signatures/", views_generators.generator_list, name="list"),
    path("signatures/new/", views_generators.generator_new, name="generator-new"),
    path("signatures/<uuid:code_id>/", views_generators.generator_page, name="generator"),
    path("signatures/<uuid:code_id>/recipe.json", views_generators.recipe, name="recipe"),
    path("signatures/<uuid:code_id>/test/", views_generators.test, name="test"),
    path("signatures/<uuid:code_id>/tests/<uuid:test_id>/", views_generators.test_page, name="test-page"),
    path("signatures/<uuid:code_id>/revoke/", views_generators.revoke, name="generator-revoke"),
    path("signatures/<uuid:code_id>/restore/", views_generators.restore, name="generator-restore"),
]
