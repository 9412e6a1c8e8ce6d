"""A partner who calls the API and whose every answer is held against the OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from tests.webapp.api import contract
from tests.webapp.conftest import Cast, make_person
from tests.webapp.pictures import jpeg
from webapp.accounts.models import Organisation, Scope, User
from webapp.accounts.services import api_key_create, organisation_create
from webapp.catalogues.models import Catalogue
from webapp.catalogues.services import catalogue_create
from webapp.jobs.models import Job
from webapp.jobs.runner import execute
from webapp.registry.models import Visibility

V1 = "/api/v1"


class Partner:
    """Somebody who calls the API, with a key or without."""

    def __init__(self, secret: str | None) -> None:
        self.client = Client(headers={"Authorization": f"Bearer {secret}"} if secret else {})

    def call(self, method: str, path: str, data: Any = None, **headers: str) -> Any:
        """Send a request and return its answer, which is one that the document declares.

        Args:
            path: below /api/v1, or a whole address of an answer.
            data: fields of a form; bytes are the body as it is.
            headers: names with "_" for "-".
        """
        path = path.removeprefix("http://testserver").removeprefix(V1)
        sent: dict[str, Any] = {"headers": {name.replace("_", "-"): value for name, value in headers.items()}}
        if isinstance(data, bytes):
            sent |= {"data": data, "content_type": headers.get("Content_Type", "application/octet-stream")}
        elif data is not None:
            sent["data"] = data
        response = getattr(self.client, method.lower())(f"{V1}{path}", **sent)
        contract.check(method, f"{V1}{path}".partition("?")[0], response)
        return response

    def get(self, path: str, **headers: str) -> Any:
        """See :meth:`call`."""
        return self.call("GET", path, **headers)

    def post(self, path: str, data: Any = None, **headers: str) -> Any:
        """See :meth:`call`."""
        return self.call("POST", path, data, **headers)

    def delete(self, path: str, **headers: str) -> Any:
        """See :meth:`call`."""
        return self.call("DELETE", path, **headers)


MakePartner = Callable[..., Partner]


@pytest.fixture
def partner(cast: Cast) -> Partner:
    """Return the holder of the cast's key, which has every scope."""
    return Partner(cast.partner_secret)


@pytest.fixture
def make_partner(cast: Cast) -> MakePartner:
    """Return what makes a holder of another key."""

    def make(
        *, scopes: Sequence[str] = Scope.values, organisation: Organisation | None = None, by: User | None = None
    ) -> Partner:
        _key, secret = api_key_create(
            organisation=organisation or cast.organisation,
            name="another",
            scopes=scopes,
            expires_at=timezone.now() + timedelta(days=1),
            created_by=by or cast.owner,
        )
        return Partner(secret)

    return make


@pytest.fixture
def stranger(cast: Cast, make_partner: MakePartner) -> Partner:
    """Return the holder of a key of the outsider's organisation."""
    return make_partner(organisation=cast.elsewhere, by=cast.outsider)


@pytest.fixture
def committed_secret(transactional_db: None) -> str:
    """Return the secret of a key that other threads see too."""
    owner = make_person("owner@archive.example")
    _key, secret = api_key_create(
        organisation=organisation_create(name="The Archive", founder=owner),
        name="partner",
        scopes=Scope.values,
        expires_at=timezone.now() + timedelta(days=1),
        created_by=owner,
    )
    return secret


@pytest.fixture
def catalogue(cast: Cast) -> Catalogue:
    """Return an empty catalogue of the cast's organisation."""
    return catalogue_create(
        organisation=cast.organisation, name="Prints", visibility=Visibility.PUBLIC, actor=cast.owner
    )


def upload(data: bytes, name: str = "picture.jpg") -> SimpleUploadedFile:
    """Return a file to send."""
    return SimpleUploadedFile(name, data, content_type="application/octet-stream")


def picture(seed: int = 1, name: str = "picture.jpg") -> SimpleUploadedFile:
    """Return a picture to send."""
    return upload(jpeg(seed), name)


def work_off() -> None:
    """Do all jobs that wait, to their ends."""
    for _turn in range(50):
        waiting = Job.objects.filter(state="queued").values_list("pk", flat=True)
        if not waiting:
            return
        for job_id in list(waiting):
            execute(str(job_id))
    raise AssertionError("the jobs do not end")
