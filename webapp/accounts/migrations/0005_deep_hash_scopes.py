import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0004_signature_scopes'),
    ]

    operations = [
        migrations.AlterField(
            model_name='apikey',
            name='scopes',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=[('check:read', 'Read checks and receipts'), ('check:write', 'Submit and cancel checks'), ('catalogue:read', 'List catalogues and items, look pictures up by their deep hashes'), ('catalogue:write', 'Add and delete items, choose and train deep hashes'), ('artwork:read', 'Read artworks and proofs'), ('artwork:write', 'Generate, prove and delete artworks'), ('signature:read', 'Read signatures, fetch signed copies'), ('signature:write', 'Have works signed, get numbers for generators, revoke')], max_length=20), size=None),
        ),
    ]
