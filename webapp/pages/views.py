"""Pages for everybody: home, help, dashboard, accuracy, and the two addresses that a watchdog asks."""

from __future__ import annotations

import json
from typing import Any, cast

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.db import OperationalError, connection
from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from webapp.accounts.models import Membership, User
from webapp.accounts.selectors import invitations_for
from webapp.catalogues.models import Catalogue, CatalogueImport
from webapp.checks.models import Check
from webapp.jobs.models import FINAL_STATES, Job
from webapp.jobs.selectors import job_snapshot
from webapp.pages.codes import CODES
from webapp.registry.models import Work
from webapp.registry.selectors import registry_size


@require_safe
@never_cache
def healthz(request: HttpRequest) -> JsonResponse:
    """Say that the process answers."""
    return JsonResponse({"status": "ok", "version": settings.VERSION})


@require_safe
@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    """Say whether the site can serve: 200 with the database there, 503 without."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except OperationalError:
        return JsonResponse({"status": "unavailable", "database": "unreachable"}, status=503)
    return JsonResponse({"status": "ok", "database": "ok"})


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Show what the product is, with the check form."""
    context = {
        "registry_size": registry_size(),
        "retention_days": -(-settings.CHECK_RETENTION_HOURS // 24),
        "check_max_files": settings.CHECK_MAX_FILES,
        "upload_max_bytes": settings.UPLOAD_MAX_BYTES,
        "drop_words": _("Drop pictures here, paste them, or"),
        "drop_hint": _("JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC, up to %(size)s each, %(count)d at a time.")
        % {"size": filesizeformat(settings.UPLOAD_MAX_BYTES), "count": settings.CHECK_MAX_FILES},
    }
    return render(request, "pages/home.html", context)


@login_required
@require_safe
@never_cache
def dashboard(request: HttpRequest) -> HttpResponse:
    """Show a person's organisations, what runs for them, and their recent checks."""
    person = cast(User, request.user)
    memberships = (
        Membership.objects.filter(user=person)
        .select_related("organisation")
        .order_by("organisation__name")
        .annotate(work_count=_count(Work.objects.live()), catalogue_count=_count(Catalogue.objects.live()))
    )
    context = {
        "memberships": memberships,
        "running": _running(person),
        "invitations": invitations_for(person).count(),
        "checks": Check.objects.filter(owner=person).select_related("job")[:10],
    }
    return render(request, "pages/dashboard.html", context)


@require_safe
def help_page(request: HttpRequest) -> HttpResponse:
    """Explain verdicts, evidence, limits and privacy with the limits in force."""
    context = {
        "upload_max": filesizeformat(settings.UPLOAD_MAX_BYTES),
        "megapixels": settings.UPLOAD_MAX_PIXELS // 1_000_000,
        "check_max_files": settings.CHECK_MAX_FILES,
        "visitor_limit": settings.CHECKS_PER_HOUR_VISITOR,
        "user_limit": settings.CHECKS_PER_HOUR_USER,
        "key_limit": settings.REQUESTS_PER_MINUTE_KEY,
        "import_max_rows": settings.IMPORT_MAX_ROWS,
        "import_max": filesizeformat(settings.IMPORT_MAX_BYTES),
        "retention_days": -(-settings.CHECK_RETENTION_HOURS // 24),
        "undo_hours": settings.UNDO_HOURS,
    }
    return render(request, "pages/help.html", context)


@require_safe
def errors(request: HttpRequest) -> HttpResponse:
    """Say of each error code what it means and what to do."""
    return render(request, "pages/errors.html", {"codes": [(str(code), words) for code, words in CODES.items()]})


@require_safe
def accuracy(request: HttpRequest) -> HttpResponse:
    """Show the figures of the last full benchmark that is in the repository, or say that there are none."""
    path = settings.BASE_DIR / "benchmarks" / "results" / "site.json"
    results: dict[str, Any] | None = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    return render(request, "pages/accuracy.html", {"results": results})


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Explain a form that was sent without its token."""
    return render(request, "pages/csrf.html", status=403)


def _count(rows: QuerySet[Any]) -> Coalesce:
    counted = (
        rows.filter(organisation=OuterRef("organisation"))
        .order_by()
        .values("organisation")
        .annotate(n=Count("pk"))
        .values("n")
    )
    return Coalesce(Subquery(counted, output_field=IntegerField()), 0)


def _running(person: User) -> list[tuple[Job, dict[str, Any], str, str]]:
    jobs = Job.objects.filter(owner=person).exclude(state__in=FINAL_STATES)[:10]
    shown = []
    for job in jobs:
        check = Check.objects.filter(job=job).first()
        found = CatalogueImport.objects.filter(job=job).select_related("catalogue").first()
        if check:
            shown.append((job, job_snapshot(job), check.filename, reverse("checks:detail", args=[check.pk])))
        elif found:
            url = reverse("catalogues:import", args=[found.pk])
            shown.append((job, job_snapshot(job), found.catalogue.name, url))
    return shown
