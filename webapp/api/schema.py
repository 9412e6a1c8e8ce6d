"""How the API describes itself (OpenAPI 3.1): what every operation shares is written here once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ComponentRegistry, ResolvedComponent
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers

from webapp.codes import CODES
from webapp.errors import ErrorCode, ProductError

PROBLEM_TYPE = "application/problem+json"
BEARER = "apiKey"

PROBLEM_CODES = [(code.value, CODES[code]) for code in ErrorCode]

Handler = TypeVar("Handler", bound=Callable[..., Any])
Refusals = Mapping[int, Sequence[ErrorCode]]


class ProblemSerializer(serializers.Serializer[Any]):
    """Why a request was refused, and what to do (RFC 9457)."""

    type = serializers.CharField(help_text="Where the code is explained, relative to this site.")
    title = serializers.CharField(help_text="The code in words.")
    status = serializers.IntegerField(help_text="The HTTP status, again.")
    code = serializers.ChoiceField(
        choices=PROBLEM_CODES, help_text="For programs. A code, once published, keeps its meaning."
    )
    detail = serializers.CharField(help_text="For people: what is wrong and what to do. Its words may change.")
    fields = serializers.DictField(  # type: ignore[assignment]  # a field of that name hides Serializer.fields
        child=serializers.ListField(child=serializers.CharField()),
        required=False,
        help_text="Which parts of the request are wrong: name -> sentences.",
    )


class KeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Tells of the key, and with each operation of the scope that it needs."""

    target_class = "webapp.api.authentication.ApiKeyAuthentication"
    name = BEARER

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        """Return the security scheme object."""
        return {
            "type": "http",
            "scheme": "bearer",
            "description": (
                "A key of your organisation, made by one of its owners on the site. It is sent as"
                " `Authorization: Bearer <key>`, has scopes, and expires."
            ),
        }

    def get_security_requirement(self, auto_schema: AutoSchema) -> dict[str, list[str]]:
        """Return the scheme's name with the scope of the operation."""
        view: Any = auto_schema.view
        scope = view.scopes[auto_schema.method]
        return {BEARER: [scope.value] if scope else []}


_ALWAYS = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "X-Request-ID")
_HEADERS: dict[str, tuple[dict[str, Any], str]] = {
    "RateLimit-Limit": ({"type": "integer"}, "How many requests the present window allows."),
    "RateLimit-Remaining": ({"type": "integer", "minimum": 0}, "How many are left in it."),
    "RateLimit-Reset": ({"type": "integer", "minimum": 0}, "In how many seconds it ends."),
    "X-Request-ID": ({"type": "string"}, "Names this request in our logs: yours, if you sent a plain one."),
    "ETag": ({"type": "string"}, "Send it back as `If-None-Match` to be answered 304 while nothing has changed."),
    "Link": ({"type": "string"}, "The first and the next page (RFC 8288)."),
    "Location": ({"type": "string", "format": "uri"}, "Where to watch what was begun."),
    "Retry-After": ({"type": "integer", "minimum": 1}, "In how many seconds it makes sense to ask again."),
    "WWW-Authenticate": ({"type": "string"}, "How to show who you are, and what was wrong (RFC 6750)."),
    "Idempotency-Replayed": ({"type": "string", "const": "true"}, "There if this answer was given before."),
}
# The first three are left out where a body is refused before it is read (413).
_OPTIONAL_HEADERS = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "Idempotency-Replayed", "Retry-After")

_SHARED: dict[int, tuple[str, str, tuple[ErrorCode, ...]]] = {
    401: (
        "NotAuthenticated",
        "There is no key, or none that is good.",
        (ErrorCode.NOT_AUTHENTICATED, ErrorCode.KEY_EXPIRED, ErrorCode.KEY_REVOKED),
    ),
    403: ("ScopeMissing", "The key lacks the scope that this needs.", (ErrorCode.SCOPE_MISSING,)),
    404: (
        "NotFound",
        "There is nothing of that id, or it is another organisation's.",
        (ErrorCode.NOT_FOUND,),
    ),
    406: ("NotAcceptable", "`Accept` leaves out JSON.", (ErrorCode.NOT_ACCEPTABLE,)),
    429: ("RateLimited", "Too many requests. Wait for `Retry-After` seconds.", (ErrorCode.RATE_LIMITED,)),
    500: ("Internal", "A fault of ours. It is safe to try again.", (ErrorCode.INTERNAL,)),
}
# What the idempotency of writes adds.
_WRITES: Refusals = {
    400: (ErrorCode.INVALID,),
    409: (ErrorCode.IDEMPOTENCY_BUSY,),
    422: (ErrorCode.IDEMPOTENCY_MISMATCH,),
}
_HEADERS_OF_STATUS = {
    401: ("WWW-Authenticate",),
    403: ("WWW-Authenticate",),
    409: ("Retry-After",),
    429: ("Retry-After",),
}


# Operation's id -> the refusals and the headers of its good answer that are its own.
_OWN: dict[str, tuple[Refusals, Sequence[str]]] = {}


def describe(
    *,
    name: str,
    summary: str,
    answers: Mapping[int | tuple[int, str], OpenApiResponse],
    refusals: Refusals | None = None,
    request: Any = None,
    parameters: Sequence[Any] = (),
    headers: Sequence[str] = (),
) -> Callable[[Handler], Handler]:
    """Describe a handler; the words on what it does are its docstring.

    Args:
        name: the operation's id, such as ``checks_submit``.
        answers: status, with the media type where it is not JSON -> what a request that goes well is answered.
        refusals: status -> codes, beside those that every operation has.
        headers: names of further headers of the good answer.
    """

    def decorate(handler: Handler) -> Handler:
        _OWN[name] = (refusals or {}, headers)
        return extend_schema(
            operation_id=name,
            summary=summary,
            request=request,
            # drf-spectacular's keys have the status as a string.
            responses={
                (str(key[0]), *key[1:]) if isinstance(key, tuple) else str(key): answer
                for key, answer in answers.items()
            },
            parameters=list(parameters),
        )(handler)

    return decorate


class ApiSchema(AutoSchema):
    """Adds to each operation what all have: the key's scope, headers, refusals, and what makes writes repeatable."""

    view: Any
    method: str
    registry: ComponentRegistry

    def get_tags(self) -> list[str]:
        """Return the heading that the view names."""
        return [self.view.tag]

    def get_override_parameters(self) -> list[Any]:
        """Return the headers that a request may carry."""
        if self.method == "GET":
            return [
                OpenApiParameter(
                    "If-None-Match", str, OpenApiParameter.HEADER, description="The `ETag` of an answer you have."
                )
            ]
        return [
            OpenApiParameter(
                "Idempotency-Key",
                {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
                OpenApiParameter.HEADER,
                description=(
                    "A name of your own, such as a UUID, for this one write. Sent again within 24 hours with the"
                    " same request, it is answered as it was the first time and nothing is done twice."
                ),
            )
        ]

    def get_operation(
        self, path: str, path_regex: str, path_prefix: str, method: str, registry: ComponentRegistry
    ) -> dict[str, Any] | None:
        """Return the operation object."""
        operation: dict[str, Any] | None = super().get_operation(path, path_regex, path_prefix, method, registry)
        if operation is None:
            return None
        refusals, headers = _OWN[operation["operationId"]]
        good = [*_ALWAYS, *headers]
        good += ["ETag"] if self.method == "GET" else ["Idempotency-Replayed"]
        responses = operation["responses"]
        for response in responses.values():
            response["headers"] = self._headers(good)
        if self.method == "GET":
            responses["304"] = {
                "description": "Nothing has changed since the answer with that `ETag`.",
                "headers": self._headers([name for name in good if name != "Link"]),
            }
        responses |= self._refusals(refusals, has_ids="{" in path)
        operation["responses"] = {status: responses[status] for status in sorted(responses)}
        return operation

    def _refusals(self, own: Refusals, *, has_ids: bool) -> dict[str, Any]:
        codes: dict[int, list[ErrorCode]] = {status: list(listed) for status, listed in own.items()}
        if self.method != "GET":
            given = {**_WRITES, 404: (ErrorCode.NOT_FOUND,)} if has_ids else _WRITES
            for status, listed in given.items():
                codes[status] = list(dict.fromkeys([*codes.get(status, []), *listed]))
        replayed = ("Idempotency-Replayed",) if self.method != "GET" else ()
        refusals = {
            str(status): self._problem(status, codes[status], headers=() if status == 409 else replayed)
            for status in codes
        }
        for status, (name, description, listed) in _SHARED.items():
            absent = {404: not has_ids, 403: self.view.scopes[self.method] is None}
            if status in codes or absent.get(status, False):
                continue
            refusals[str(status)] = self._shared(
                ResolvedComponent.RESPONSE, name, self._problem(status, listed, description)
            )
        return refusals

    def _problem(
        self, status: int, codes: Sequence[ErrorCode], description: str = "", headers: Sequence[str] = ()
    ) -> dict[str, Any]:
        problem = self.resolve_serializer(ProblemSerializer, "response").ref
        return {
            "description": description or " or ".join(f"`{code}`" for code in codes),
            "headers": self._headers([*_ALWAYS, *_HEADERS_OF_STATUS.get(status, ()), *headers]),
            "content": {
                PROBLEM_TYPE: {
                    "schema": {
                        "allOf": [
                            problem,
                            {"properties": {"status": {"const": status}, "code": {"enum": [str(c) for c in codes]}}},
                        ]
                    },
                    "examples": {
                        str(code): {"value": ProductError(code, CODES[code], status=status).as_problem()}
                        for code in codes
                    },
                }
            },
        }

    def _headers(self, names: Sequence[str]) -> dict[str, Any]:
        headers = {}
        for name in names:
            schema, description = _HEADERS[name]
            header = {"schema": schema, "description": description, "required": name not in _OPTIONAL_HEADERS}
            headers[name] = self._shared(ResolvedComponent.HEADER, name, header)
        return headers

    def _shared(self, kind: str, name: str, content: dict[str, Any]) -> dict[str, str]:
        """Keep a part of the document under its name, once; return the reference to it."""
        component = ResolvedComponent(name, kind, content, name)  # type: ignore[no-untyped-call]
        self.registry.register_on_missing(component)
        return dict(component.ref)
