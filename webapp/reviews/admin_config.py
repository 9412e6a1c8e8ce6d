"""Makes our administration site the default one."""

from django.contrib.admin.apps import AdminConfig


class AdministrationConfig(AdminConfig):
    """Names the site's class."""

    default_site = "webapp.reviews.site.AdministrationSite"
