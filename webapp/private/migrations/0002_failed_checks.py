from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('private', '0001_initial'),
    ]

    operations = [
        migrations.AddField(
            model_name='privatecatalogue',
            name='failed_checks',
            field=models.PositiveSmallIntegerField(default=0, help_text='How often engines ended while what is offered was checked.'),
        ),
    ]
