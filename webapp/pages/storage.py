"""Static files under names that change with their content."""

from servestatic.storage import CompressedManifestStaticFilesStorage


class StaticStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """Hashed names, also inside ES modules' imports."""

    support_js_module_import_aggregation = True
