"""Trained hashes are judged by pictures that were held out; plain pictures get no code.

All codes go: which of them are plain pictures' cannot be told without opening the files, and the feature vectors of
``edit-hash-64-v1`` are longer than they were. Every minute the site looks
for pictures without a code, so that they come back by themselves, but those of plain ones.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations, models


def forget_codes(apps: Any, _schema_editor: Any) -> None:
    """Delete every code."""
    apps.get_model("deephash", "DeepCode").objects.all().delete()


class Migration(migrations.Migration):
    """See above."""

    dependencies = [("deephash", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="trainedmodel",
            name="held_out",
            field=models.PositiveIntegerField(
                default=0,
                help_text=(
                    "Pictures from which it did not learn, by which it was judged; 0: by those it learnt from."
                ),
            ),
        ),
        migrations.AddField(
            model_name="cataloguehash",
            name="plain",
            field=models.JSONField(blank=True, default=list, help_text="Ids of works that are too plain for a code."),
        ),
        migrations.RunPython(forget_codes, migrations.RunPython.noop),
    ]
