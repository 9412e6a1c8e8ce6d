"""Pages for makers of generators: get a number, put it into pictures, test whether it reads, revoke it."""

from __future__ import annotations

import uuid
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from provenance.watermark.record import Recipe
from webapp.accounts.models import Organisation
from webapp.accounts.selectors import organisations_of, organisations_to_fill
from webapp.errors import ErrorCode, ProductError
from webapp.jobs.selectors import job_snapshot
from webapp.page_forms import form_of_page
from webapp.signatures import services
from webapp.signatures.keys import payload_of
from webapp.signatures.models import PictureResult, ReadingTest, SignatureCode
from webapp.signatures.selectors import generator_get, generators_of
from webapp.signatures.trials import test_begin
from webapp.signatures.views import person

_TESTS_SHOWN = 10


class GeneratorForm(forms.Form):
    """Whose generator, and what it is called."""

    organisation = forms.ModelChoiceField(queryset=Organisation.objects.none(), label=gettext_lazy("Organisation"))
    name = forms.CharField(
        label=gettext_lazy("Name of the generator"),
        max_length=120,
        help_text=gettext_lazy("With its version. Whoever checks one of its pictures reads this name and yours."),
    )

    def __init__(self, data: Any = None, *, organisations: Any, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.fields["organisation"].queryset = organisations  # type: ignore[attr-defined]


@login_required
@require_safe
@never_cache
def generator_list(request: HttpRequest) -> HttpResponse:
    """Show the generators of a person's organisations, and what signatures are."""
    context = {
        "generators": generators_of(request.user),
        "may_create": organisations_to_fill(request.user).exists(),
        "has_organisation": organisations_of(request.user).exists(),
    }
    return render(request, "signatures/list.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def generator_new(request: HttpRequest) -> HttpResponse:
    """Give a generator a number."""
    organisations = organisations_to_fill(request.user)
    if not organisations.exists():
        messages.info(request, _("A generator belongs to an organisation. Make one first, or ask to be an editor."))
        return redirect(f"{reverse('accounts_site:organisation-new')}?next={request.path}")
    form = GeneratorForm(
        request.POST or None, organisations=organisations, initial={"organisation": organisations.first()}
    )
    if request.method == "POST" and form.is_valid():
        try:
            code = services.generator_create(**form.cleaned_data, actor=person(request))
        except ProductError as error:
            form.add_error("name", str(error.message))
        else:
            return redirect("signatures:generator", code.pk)
    return render(request, "signatures/new.html", {"form": form}, status=400 if form.errors else 200)


@login_required
@require_safe
@never_cache
def generator_page(request: HttpRequest, code_id: uuid.UUID) -> HttpResponse:
    """Show a generator's number, how to use it, and its tests."""
    code, may_write = generator_get(user=request.user, code_id=code_id)
    return _page(request, code, may_write)


@login_required
@require_safe
@never_cache
def recipe(request: HttpRequest, code_id: uuid.UUID) -> HttpResponse:
    """Send what ``provenance sign --recipe`` and ``read --recipe`` ask for, to those who may change the generator."""
    code = _writable(request, code_id)
    response = HttpResponse(Recipe(payload_of(code), code.name).to_json(), content_type="application/json")
    response["Content-Disposition"] = f'attachment; filename="generator-{code.number}.json"'
    return response


@form_of_page("signatures:generator")
def test(request: HttpRequest, code_id: uuid.UUID) -> HttpResponse:
    """Have pictures read."""
    code = _writable(request, code_id)
    try:
        begun = test_begin(code=code, files=request.FILES.getlist("files"), actor=person(request))
    except ProductError as error:
        return _page(request, code, True, error)
    return redirect("signatures:test-page", code.pk, begun.pk)


@login_required
@require_safe
@never_cache
def test_page(request: HttpRequest, code_id: uuid.UUID, test_id: uuid.UUID) -> HttpResponse:
    """Show how far a test is, and what each picture came to."""
    code, may_write = generator_get(user=request.user, code_id=code_id)
    found = get_object_or_404(ReadingTest.objects.select_related("job"), pk=test_id, code=code)
    job = None if found.job.is_final else found.job
    pictures = found.pictures.all()
    context = {
        "code": code,
        "may_write": may_write,
        "test": found,
        "pictures": pictures,
        "read": sum(picture.result == PictureResult.READ for picture in pictures),
        "opened": sum(picture.result != PictureResult.UNREADABLE for picture in pictures),
        "unreadable": sum(picture.result == PictureResult.UNREADABLE for picture in pictures),
        "job": job,
        "snapshot": job_snapshot(job) if job else None,
    }
    return render(request, "signatures/test.html", context)


@form_of_page("signatures:generator")
def revoke(request: HttpRequest, code_id: uuid.UUID) -> HttpResponse:
    """Revoke a generator's signature."""
    services.code_revoke(code=_writable(request, code_id), actor=person(request))
    return redirect("signatures:generator", code_id)


@form_of_page("signatures:generator")
def restore(request: HttpRequest, code_id: uuid.UUID) -> HttpResponse:
    """Take the revocation back."""
    code = _writable(request, code_id)
    try:
        services.code_restore(code=code, actor=person(request))
    except ProductError as error:
        messages.error(request, str(error.message))
    else:
        messages.success(request, _("Undone: the signature is in force again."))
    return redirect("signatures:generator", code_id)


def _page(
    request: HttpRequest, code: SignatureCode, may_write: bool, refusal: ProductError | None = None
) -> HttpResponse:
    context = {
        "code": code,
        "may_write": may_write,
        "refusal": refusal,
        "tests": code.tests.select_related("job").prefetch_related("pictures")[:_TESTS_SHOWN],
        "file": f"generator-{code.number}.json",
        "max_files": settings.CHECK_MAX_FILES,
        "max_bytes": settings.UPLOAD_MAX_BYTES,
    }
    response = render(request, "signatures/generator.html", context, status=refusal.status if refusal else 200)
    if refusal is not None and refusal.retry_after:
        response["Retry-After"] = str(refusal.retry_after)
    return response


def _writable(request: HttpRequest, code_id: uuid.UUID) -> SignatureCode:
    code, may_write = generator_get(user=request.user, code_id=code_id)
    if not may_write:
        raise ProductError(
            ErrorCode.FORBIDDEN,
            _("Only owners and editors of the organisation can do this. Ask an owner to make you an editor."),
            status=403,
        )
    return code
