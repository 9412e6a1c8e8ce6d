from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("checks", "0001_initial")]

    operations = [
        migrations.AlterField(
            model_name="evidence",
            name="kind",
            field=models.CharField(
                choices=[
                    ("picture", "Picture"),
                    ("exact", "Exact file"),
                    ("candidates", "Look-alikes"),
                    ("pair", "Side-by-side verification"),
                    ("origin", "Made by AI?"),
                    ("review", "Reviewers"),
                ],
                max_length=12,
            ),
        ),
    ]
