from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("artworks", "0002_proof_file_fits"),
    ]

    operations = [
        migrations.AddField(
            model_name="proof",
            name="hash_distance",
            field=models.PositiveSmallIntegerField(
                blank=True,
                help_text="Bits, of 256, in which the two pictures' hashes (pdq-v1) differ.",
                null=True,
            ),
        ),
    ]
