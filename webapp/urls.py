"""All addresses of the site."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("webapp.pages.urls")),
    path("check/", include("webapp.checks.urls")),
    path("jobs/", include("webapp.jobs.urls")),
    path("organisation/", include("webapp.accounts.urls")),
    path("artworks/", include("webapp.artworks.urls")),
    path("catalogues/", include("webapp.catalogues.urls")),
    path("catalogues/", include("webapp.deephash.urls")),
    path("catalogues/", include("webapp.private.urls")),
    path("works/", include("webapp.registry.urls")),
    path("", include("webapp.signatures.urls")),
    path("api/", include("webapp.api.urls")),
    path("reviews/", include("webapp.reviews.urls")),
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
]
