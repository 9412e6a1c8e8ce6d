"""Writes that may be sent twice and are done once: the ``Idempotency-Key`` header.

The first answer to a key is kept for a day and given again to the same request. What a write does and the record of
its answer are one transaction, and a lock of that transaction keeps a second, simultaneous one out: a process that
dies in between leaves neither record nor lock, and the next attempt is simply the first.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any, Concatenate, TypeVar

from django.core.files.base import File
from django.db import connection, transaction
from django.http import HttpResponse, HttpResponseBase, QueryDict
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from webapp.accounts.models import ApiKey
from webapp.api.base import ApiView, key_of
from webapp.api.models import IdempotencyRecord
from webapp.api.problems import REFUSALS
from webapp.errors import ErrorCode, ProductError
from webapp.files import sha256_of

KEPT = timedelta(hours=24)
BUSY_RETRY_SECONDS = 2
REPLAYED = "Idempotency-Replayed"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")

View = TypeVar("View", bound=ApiView)
Handler = Callable[Concatenate[View, Request, ...], Response]


def idempotent(handler: Handler[View]) -> Callable[Concatenate[View, Request, ...], HttpResponseBase]:
    """Let a view's handler of a write honour the header, where it is sent.

    Answers that are meant to be retried are not kept: 409, 429 and, since a fault rolls everything back, 5xx.
    """

    @wraps(handler)
    def once(view: View, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        name = request.headers.get("Idempotency-Key")
        if name is None:
            return handler(view, request, *args, **kwargs)
        if not _KEY.fullmatch(name):
            raise ProductError(
                ErrorCode.INVALID,
                _("An Idempotency-Key is 1 to 255 visible ASCII characters, such as a UUID."),
                fields={"Idempotency-Key": [_("Send 1 to 255 visible ASCII characters.")]},
            )
        key, key_digest, request_digest = key_of(request), sha256_of(name.encode()), digest_of(request)
        with transaction.atomic():
            _lock(key, key_digest)
            record = _record(key, key_digest)
            if record is not None:
                return _replay(record, request_digest)
            response = _answer(view, handler, request, *args, **kwargs)
            if response.status_code not in (409, 429):
                _keep(key, key_digest, request_digest, response)
        return response

    return once


def digest_of(request: Request) -> str:
    """Return a keyed digest of what a request asks: method, address, fields and files.

    The bytes of the body would not do: the boundary of a multipart body differs from one attempt to the next. Keyed,
    since a plain digest of an artwork's prompt would let who reads the table try out prompts.

    Raises:
        APIException: the body cannot be read.
    """
    fields: Any = []
    if request.parsers:
        fields, files = request.data, request.FILES
        if isinstance(fields, QueryDict):
            fields = [(name, fields.getlist(name)) for name in sorted(fields) if name not in files]
            fields += [
                (name, upload.name, _sha256_of_file(upload)) for name in sorted(files) for upload in files.getlist(name)
            ]
        elif isinstance(fields, bytes):
            fields = sha256_of(fields)
    asked = json.dumps([request.method, request.get_full_path(), fields], sort_keys=True)
    return salted_hmac("webapp.api.idempotency", asked, algorithm="sha256").hexdigest()


def records_purge() -> int:
    """Delete the records whose time is over; return how many. Called once a minute by the worker."""
    return IdempotencyRecord.objects.filter(created_at__lt=timezone.now() - KEPT).delete()[0]


def _lock(key: ApiKey, key_digest: str) -> None:
    """Keep others with this key out until the present transaction ends.

    Raises:
        ProductError: another request with it is under way (409).
    """
    digest = hashlib.sha256(f"idempotency:{key.pk}:{key_digest}".encode()).digest()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [int.from_bytes(digest[:8], "big", signed=True)])
        (got,) = cursor.fetchone()
    if not got:
        raise ProductError(
            ErrorCode.IDEMPOTENCY_BUSY,
            _("A request with this Idempotency-Key is being worked on. Send yours again in a moment."),
            status=409,
            retry_after=BUSY_RETRY_SECONDS,
        )


def _record(key: ApiKey, key_digest: str) -> IdempotencyRecord | None:
    record = IdempotencyRecord.objects.filter(api_key=key, key_digest=key_digest).first()
    if record is not None and record.created_at < timezone.now() - KEPT:
        record.delete()
        return None
    return record


def _replay(record: IdempotencyRecord, request_digest: str) -> HttpResponse:
    if record.request_digest != request_digest:
        raise ProductError(
            ErrorCode.IDEMPOTENCY_MISMATCH,
            _("This Idempotency-Key came with another request before. Use a new key for a new request."),
            status=422,
        )
    return _response(record.status, {**record.headers, REPLAYED: "true"}, record.body.encode())


def _answer(view: View, handler: Handler[View], request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
    """Return what the handler answers or, when it refuses, its problem document, with its body as bytes."""
    try:
        # What a refused write has done so far must go even though its answer is kept.
        with transaction.atomic():
            answer = handler(view, request, *args, **kwargs)
    except REFUSALS as error:
        answer = view.handle_exception(error)
    body = JSONRenderer().render(answer.data)
    headers = dict(answer.headers)
    headers.pop("Content-Type", None)
    if body:
        headers["Content-Type"] = answer.content_type or JSONRenderer.media_type
    return _response(answer.status_code, headers, body)


def _response(status: int, headers: dict[str, str], body: bytes) -> HttpResponse:
    response = HttpResponse(body, status=status, headers=headers)
    if "Content-Type" not in headers:
        del response["Content-Type"]
    return response


def _keep(key: ApiKey, key_digest: str, request_digest: str, response: HttpResponse) -> None:
    IdempotencyRecord.objects.create(
        api_key=key,
        key_digest=key_digest,
        request_digest=request_digest,
        status=response.status_code,
        headers=dict(response.headers),
        body=response.content.decode(),
    )


def _sha256_of_file(upload: File[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in upload.chunks():
        digest.update(chunk)
    upload.seek(0)
    return digest.hexdigest()
