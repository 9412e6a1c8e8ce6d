"""Pages for everybody: home, help, dashboard, accuracy, and the two addresses that a watchdog asks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.db import OperationalError, connection
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.templatetags.static import static
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from provenance.detection.detector import VERSION as DETECTOR_VERSION
from provenance.detection.sources import SOURCES
from provenance.images.edits import PRESETS
from provenance.matching.verify import VERSION, pair_model
from provenance.watermark.networks import ALGORITHM as SIGNATURE_ALGORITHM
from webapp.accounts.models import User
from webapp.accounts.selectors import invitations_for
from webapp.checks.models import Check, Verdict
from webapp.codes import CODES
from webapp.pages.selectors import activity_for, places_of, running_for
from webapp.pages.templatetags.words import hours, size
from webapp.registry.selectors import registry_size

# What benchmarks draw for the page of figures.
_FIGURES = ("hashing_roc", "signature_examples")


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
def favicon(request: HttpRequest) -> HttpResponse:
    """Send whoever asks for the old address of icons to ours."""
    return redirect(static("img/logo.svg"))


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Show what the product is, with the check form."""
    context = {
        "registry_size": registry_size(),
        "retention": hours(settings.CHECK_RETENTION_HOURS),
        "verdicts": _verdicts(),
        "check_max_files": settings.CHECK_MAX_FILES,
        "upload_max_bytes": settings.UPLOAD_MAX_BYTES,
        "drop_words": _("Drop pictures here, paste them, or"),
        "drop_hint": _("JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC, up to %(size)s each, %(count)d at a time.")
        % {"size": size(settings.UPLOAD_MAX_BYTES), "count": settings.CHECK_MAX_FILES},
    }
    return render(request, "pages/home.html", context)


@login_required
@require_safe
@never_cache
def dashboard(request: HttpRequest) -> HttpResponse:
    """Show a person's organisations, what runs for them, their recent checks and their organisations' activity."""
    person = cast(User, request.user)
    context = {
        "places": places_of(person),
        "running": running_for(person),
        "invitations": invitations_for(person).count(),
        "checks": Check.objects.filter(owner=person).select_related("job")[:8],
        "activity": activity_for(person, 8),
    }
    return render(request, "pages/dashboard.html", context)


@require_safe
def help_page(request: HttpRequest) -> HttpResponse:
    """Explain verdicts, evidence, limits and privacy with the limits in force."""
    context = {
        "verdicts": _verdicts(),
        "upload_max": size(settings.UPLOAD_MAX_BYTES),
        "megapixels": settings.UPLOAD_MAX_PIXELS // 1_000_000,
        "check_max_files": settings.CHECK_MAX_FILES,
        "visitor_limit": settings.CHECKS_PER_HOUR_VISITOR,
        "user_limit": settings.CHECKS_PER_HOUR_USER,
        "key_limit": settings.REQUESTS_PER_MINUTE_KEY,
        "import_max_rows": settings.IMPORT_MAX_ROWS,
        "import_max": size(settings.IMPORT_MAX_BYTES),
        "retention": hours(settings.CHECK_RETENTION_HOURS),
        "undo": hours(settings.UNDO_HOURS),
        "signature_max": size(settings.SIGNATURE_MAX_BYTES),
        "artworks_limit": settings.ARTWORKS_PER_HOUR,
    }
    return render(request, "pages/help.html", context)


@require_safe
def errors(request: HttpRequest) -> HttpResponse:
    """Say of each error code what it means and what to do."""
    return render(request, "pages/errors.html", {"codes": [(str(code), words) for code, words in CODES.items()]})


@require_safe
def accuracy(request: HttpRequest) -> HttpResponse:
    """Show the figures of the last full benchmarks that are in the repository, or say that there are none."""
    results, hashing, detector = _results("site"), _results("hashing"), _results("detector")
    # What was measured with an earlier verification says nothing of this one.
    results = results if results and results.get("verification") == VERSION else None
    hashing = hashing if hashing and hashing.get("verification") == VERSION else None
    detector = detector if detector and detector.get("version") == DETECTOR_VERSION else None
    rows = [
        {**row, "text": PRESETS[row["edit"]].text if row["edit"] in PRESETS else _("all edits above, pooled")}
        for row in (results["recall"]["rows"] if results else [])
    ]
    signature = _results("signature")
    signature = signature if signature and signature.get("algorithm") == SIGNATURE_ALGORITHM else None
    tables = [
        _captioned(hashing[key], caption)
        for key, caption in (
            ("stacks", _("Each method alone, on the four stacks")),
            ("thorn", _("Thorn's list: recall at 99.99 % precision")),
        )
        if hashing
    ]
    signature_tables = [
        _captioned(signature["tables"][key], caption)
        for key, caption in (
            ("edits", _("Read after edits, beside published watermarks")),
            ("sources", _("Edits, by where the pictures come from")),
            ("removal", _("Attacks by somebody who has both networks")),
            ("forgery", _("Forgery")),
            ("presets", _("Every named edit")),
        )
        if signature
    ]
    context = {
        "results": results,
        "rows": rows,
        "hashing": hashing,
        "tables": tables,
        "figures": [name for name in _FIGURES if _figure(name).is_file()],
        "stacks": [
            (PRESETS[stack].text, found) for stack, found in (hashing["verified_by_stack"] if hashing else {}).items()
        ],
        "model": pair_model(),
        "signature": signature,
        "signature_tables": signature_tables,
        "detector": detector and _detector_tables(detector),
    }
    return render(request, "pages/accuracy.html", context)


@require_safe
def accuracy_figure(request: HttpRequest, name: str) -> HttpResponseBase:
    """Send one of the pictures that the benchmarks draw for this page."""
    if name not in _FIGURES or not _figure(name).is_file():
        raise Http404
    return FileResponse(_figure(name).open("rb"), content_type="image/png")


def _captioned(table: dict[str, Any], caption: str) -> dict[str, Any]:
    """Return a benchmark's table with its caption, each cell beside the head of its column."""
    rows = [list(zip(table["head"], row, strict=True)) for row in table["rows"]]
    return {**table, "caption": caption, "rows": rows}


def _detector_tables(detector: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of the detector with the names of what it was measured on."""
    return {
        **detector,
        "rows": [{**row, "name": SOURCES[row["generator"]]} for row in detector["rows"]],
        "bands": [
            (caption, [{**row, "name": SOURCES[row["source"]], "machine": _machine(row["line"])} for row in rows])
            for caption, rows in (
                (_("What is answered, in per cent with 95 % intervals"), detector["bands"]),
                (_("The same of files as the site gets them, without that history"), detector["native_bands"]),
            )
        ],
    }


def _machine(line: str) -> str:
    return _("the one that judges") if line == "all" else _("without %(generator)s") % {"generator": SOURCES[line]}


def _figure(name: str) -> Path:
    return Path(settings.BASE_DIR) / "benchmarks" / "results" / f"{name}.png"


def _results(benchmark: str) -> dict[str, Any] | None:
    path = settings.BASE_DIR / "benchmarks" / "results" / f"{benchmark}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Explain a form that was sent without its token."""
    return render(request, "pages/csrf.html", status=403)


def _verdicts() -> list[tuple[str, str, str]]:
    """Return value, label and meaning of each verdict."""
    meanings = {
        Verdict.REGISTERED: _(
            "The very file or its very pixels are registered, or verification or a reviewer found one picture in the "
            "other."
        ),
        Verdict.PROBABLY_REGISTERED: _(
            "Verification found a common part, with less agreement than a sure match needs. Look at the pair yourself."
        ),
        Verdict.PRIVATE_MATCH: _(
            "Nothing in clear matched, and an encrypted catalogue that you asked reports a match. Nobody could compare "
            "the pictures: ask its holder."
        ),
        Verdict.NOT_FOUND: _(
            "Nothing in this registry matched. The picture may be registered elsewhere, or altered beyond what we find."
        ),
        Verdict.CANNOT_TELL: _(
            "The picture is too simple to fingerprint, or a look-alike could be neither confirmed nor ruled out."
        ),
    }
    return [(verdict.value, str(verdict.label), meanings[verdict]) for verdict in Verdict]
