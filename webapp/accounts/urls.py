"""Addresses of organisations. Logging in and signing up are allauth's, under /accounts/."""

from django.urls import path

from webapp.accounts import views

app_name = "accounts_site"
urlpatterns = [
    path("new/", views.organisation_new, name="organisation-new"),
    path("invitations/", views.invitations, name="invitations"),
    path("invitations/<uuid:invitation_id>/", views.invitation_answer, name="invitation-answer"),
    path("<uuid:organisation_id>/", views.organisation, name="organisation"),
    path("<uuid:organisation_id>/activity/", views.activity, name="activity"),
    path("<uuid:organisation_id>/keys/", views.api_keys, name="api-keys"),
    path("<uuid:organisation_id>/keys/<uuid:key_id>/revoke/", views.api_key_revoke, name="api-key-revoke"),
    path(
        "<uuid:organisation_id>/invitations/<uuid:invitation_id>/withdraw/",
        views.invitation_withdraw,
        name="invitation-withdraw",
    ),
    path("<uuid:organisation_id>/members/<int:member_id>/role/", views.member_role, name="member-role"),
    path("<uuid:organisation_id>/members/<int:member_id>/remove/", views.member_remove, name="member-remove"),
]
