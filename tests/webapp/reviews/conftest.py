"""A check that was paired with a registered work by real examiners, and people who review."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group
from django.core.files.uploadedfile import SimpleUploadedFile
from skimage import data

from provenance.images.decode import decode, encode_jpeg
from provenance.images.edits import apply
from tests.webapp.conftest import Cast, make_person
from webapp.accounts.models import User
from webapp.checks.models import Check
from webapp.checks.services import check_submit
from webapp.jobs.runner import execute
from webapp.registry.fingerprints import descriptors_of, fingerprints_of
from webapp.registry.models import Work
from webapp.registry.services import work_register


def checked(preset: str = "screenshot") -> Check:
    """Check an edited copy of the coffee cup as a visitor does; the work is done here and now."""
    encoded = encode_jpeg(apply(preset, data.coffee(), 3))
    (check,) = check_submit(files=[SimpleUploadedFile("found.jpg", encoded)], visitor_digest="v" * 64)
    execute(str(check.job_id))
    check.refresh_from_db()
    return check


@pytest.fixture
def work(cast: Cast) -> Work:
    encoded = encode_jpeg(data.coffee())
    picture = decode(encoded)
    registered, _created = work_register(
        organisation=cast.organisation,
        picture=picture,
        data=encoded,
        fingerprints=fingerprints_of(picture.pixels),
        descriptors=descriptors_of(picture.pixels),
        title="Coffee",
        registered_by=cast.owner,
    )
    return registered


@pytest.fixture
def reviewer(cast: Cast) -> User:
    cast.reviewer.groups.add(Group.objects.get(name="Reviewers"))
    return cast.reviewer


@pytest.fixture
def second_reviewer(cast: Cast) -> User:
    person = make_person("second@provenance.example", is_staff=True)
    person.groups.add(Group.objects.get(name="Reviewers"))
    return person
