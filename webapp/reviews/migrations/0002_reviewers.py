"""Makes the group whose members look at checks and decide on matches, with exactly the rights that this needs."""

from django.apps.registry import Apps
from django.contrib.auth.management import create_permissions
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

GROUP = "Reviewers"
RIGHTS = {
    "reviews": ("view_match", "decide_match", "view_decision"),
    "checks": ("view_check", "view_evidence"),
    "registry": ("view_work",),
    "catalogues": ("view_catalogue", "view_catalogueitem"),
}


def make_group(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Make the permissions, which Django otherwise makes after all migrations, then the group."""
    for label in RIGHTS:
        config = apps.get_app_config(label)
        config.models_module = True  # type: ignore[assignment]
        create_permissions(config, apps=apps, verbosity=0)
        config.models_module = None
    permissions = apps.get_model("auth", "Permission").objects
    group, _made = apps.get_model("auth", "Group").objects.get_or_create(name=GROUP)
    for label, names in RIGHTS.items():
        group.permissions.add(*permissions.filter(content_type__app_label=label, codename__in=names))


def remove_group(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    apps.get_model("auth", "Group").objects.filter(name=GROUP).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("reviews", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [migrations.RunPython(make_group, remove_group)]
