"""The demo organisation and its sample catalogue: the pictures in the repository's folder ``sample``."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from allauth.account.models import EmailAddress
from django.conf import settings
from django.core.files.base import ContentFile
from django.db import transaction

from webapp.accounts.models import AuditEntry, Organisation, User
from webapp.accounts.services import audit, organisation_create
from webapp.catalogues.imports import import_create, import_resume
from webapp.catalogues.models import Catalogue, CatalogueImport, RowState
from webapp.catalogues.selectors import import_can_resume
from webapp.catalogues.services import catalogue_create
from webapp.jobs.runner import execute
from webapp.registry.models import Visibility

ORGANISATION = "Demo Archive"
OWNER = "demo@provenance.example"
CATALOGUE = "Sample catalogue"
_LOADED = "sample.loaded"
_DESCRIPTION = "Pictures under free licences, to try the site with. Each one's licence is in its record."
_SECONDS = 180.0


@dataclass(frozen=True)
class Loaded:
    """What loading did.

    Attributes:
        password: of the demo owner, where it was just made.
        pictures: how many the sample's import registered now; None where it had been loaded before.
    """

    password: str | None
    pictures: int | None


def sample_folder() -> Path:
    """Return where the sample's pictures and table lie."""
    return Path(settings.BASE_DIR) / "sample"


def sample_load(*, again: bool = False) -> Loaded:
    """Make the demo owner and organisation and register the sample through the importer, in this process.

    What was loaded once is not loaded again, also when somebody has deleted it since: they meant it.

    Args:
        again: load it all the same; pictures that are registered stay as they are.

    Raises:
        RuntimeError: the import did not succeed.
    """
    with transaction.atomic():
        owner, password = _owner()
        organisation = _organisation(owner)
    loaded = AuditEntry.objects.filter(verb=_LOADED, organisation=organisation).exists()
    if loaded and not again:
        return Loaded(password, None)
    catalogue = Catalogue.objects.live().filter(organisation=organisation, name=CATALOGUE).first()
    if catalogue is None:
        catalogue = catalogue_create(
            organisation=organisation,
            name=CATALOGUE,
            description=_DESCRIPTION,
            visibility=Visibility.PUBLIC,
            actor=owner,
        )
    made = _finish(_import(catalogue, owner))
    audit(verb=_LOADED, obj=catalogue, actor=owner, organisation=organisation)
    return Loaded(password, made.rows.filter(state=RowState.REGISTERED).count())


def _owner() -> tuple[User, str | None]:
    """Return the demo owner, and the password where it was just made.

    On an embedded site the owner may enter the admin too: it is a demo on one's own machine, and there is nobody
    else to do it. Where the site runs against a database of its own the owner is an ordinary user.
    """
    owner = User.objects.filter(email=OWNER).first()
    if owner is not None:
        return owner, None
    password = secrets.token_urlsafe(12)
    owner = User.objects.create_user(OWNER, password, is_staff=settings.EMBEDDED, is_superuser=settings.EMBEDDED)
    EmailAddress.objects.create(user=owner, email=OWNER, verified=True, primary=True)
    return owner, password


def _organisation(owner: User) -> Organisation:
    found = Organisation.objects.filter(name=ORGANISATION, memberships__user=owner).first()
    return found or organisation_create(name=ORGANISATION, founder=owner)


def _import(catalogue: Catalogue, owner: User) -> CatalogueImport:
    """Return an import of the sample: one that an earlier, interrupted run began, or a new one."""
    begun = catalogue.imports.select_related("job").filter(started_by=owner).first()
    if begun is not None and not begun.job.is_final:
        return begun
    if begun is not None and import_can_resume(begun):
        return import_resume(catalogue_import=begun, actor=owner)
    return import_create(
        catalogue=catalogue,
        files=[ContentFile(path.read_bytes(), name=path.name) for path in sorted(sample_folder().glob("*.jpg"))],
        table=ContentFile((sample_folder() / "catalogue.csv").read_bytes(), name="catalogue.csv"),
        started_by=owner,
    )


def _finish(made: CatalogueImport) -> CatalogueImport:
    """Do an import here, slice by slice, or wait for the worker that got hold of it first."""
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end:
        claim = made.job.claim
        execute(str(made.job_id))
        made.job.refresh_from_db()
        if made.job.is_final:
            break
        if made.job.claim == claim:
            time.sleep(0.2)
    if made.job.state != "succeeded":
        raise RuntimeError(f"the sample's import is {made.job.state}: {made.job.error_message or 'no end in sight'}")
    return made
