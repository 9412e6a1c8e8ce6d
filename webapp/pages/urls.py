"""Addresses of the pages for everybody."""

from django.urls import path

from webapp.pages import views

app_name = "pages"
urlpatterns = [
    path("", views.home, name="home"),
    path("dashboard/", views.dashboard, name="dashboard"),
    path("help/", views.help_page, name="help"),
    path("help/errors", views.errors, name="errors"),
    path("accuracy/", views.accuracy, name="accuracy"),
    path("accuracy/<slug:name>.png", views.accuracy_figure, name="accuracy-figure"),
    # Browsers and crawlers that ask for it wherever they are.
    path("favicon.ico", views.favicon),
    path("healthz", views.healthz, name="healthz"),
    path("readyz", views.readyz, name="readyz"),
]
