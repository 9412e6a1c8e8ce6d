from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("artworks", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="proof",
            name="file_fits",
            field=models.BooleanField(
                default=False, help_text="Whether the signature is the very file, byte for byte."
            ),
            preserve_default=False,
        )
    ]
