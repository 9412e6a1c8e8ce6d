"""What the index in memory needs: the transaction that last wrote a fingerprint, and what the audits found."""

from django.db import migrations, models
import django.utils.timezone


class Migration(migrations.Migration):

    dependencies = [
        ("registry", "0004_descriptor_index"),
    ]

    operations = [
        # Django does not know this column: nothing but the trigger writes it, nothing but the index reads it.
        migrations.RunSQL(
            sql="""
            ALTER TABLE registry_fingerprint ADD COLUMN changed xid8 NOT NULL DEFAULT pg_current_xact_id();
            CREATE INDEX registry_fingerprint_changed ON registry_fingerprint (algorithm, changed);
            CREATE FUNCTION registry_fingerprint_note_change() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                NEW.changed := pg_current_xact_id();
                RETURN NEW;
            END
            $$;
            CREATE TRIGGER registry_fingerprint_note_change BEFORE INSERT OR UPDATE ON registry_fingerprint
                FOR EACH ROW EXECUTE FUNCTION registry_fingerprint_note_change();
            """,
            reverse_sql="""
            DROP TRIGGER registry_fingerprint_note_change ON registry_fingerprint;
            DROP FUNCTION registry_fingerprint_note_change();
            ALTER TABLE registry_fingerprint DROP COLUMN changed;
            """,
        ),
        migrations.CreateModel(
            name="SearchAudit",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("algorithm", models.CharField(max_length=40)),
                ("entries", models.PositiveBigIntegerField(help_text="Codes in the memory of the process that was asked.")),
                ("asked", models.PositiveIntegerField(help_text="Searches that were made.")),
                ("missed", models.PositiveIntegerField(help_text="Works that a search should have found and did not.")),
                ("process", models.CharField(max_length=100)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
            ],
            options={
                "ordering": ("-created_at",),
                "indexes": [
                    models.Index(condition=models.Q(("missed__gt", 0)), fields=["id"], name="searchaudit_missed"),
                ],
            },
        ),
    ]
