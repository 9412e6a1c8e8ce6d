"""Addresses of works' signatures."""

from django.urls import path

from webapp.signatures import views

app_name = "signatures"
urlpatterns = [
    path("works/<uuid:work_id>/original", views.original, name="original"),
    path("works/<uuid:work_id>/signature/", views.work_page, name="work"),
    path("works/<uuid:work_id>/signature/sign/", views.work_sign, name="sign"),
    path("works/<uuid:work_id>/signature/revoke/", views.work_revoke, name="revoke"),
    path("works/<uuid:work_id>/signature/restore/", views.work_restore, name="restore"),
    path("works/<uuid:work_id>/signature/signed.png", views.signed, name="signed"),
]
