"""Sizes, times and deeds as people say them, for every template: ``{% load words %}``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django import template
from django.contrib.humanize.templatetags.humanize import naturaltime
from django.template.defaultfilters import date
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from webapp.pages.deeds import DEEDS

register = template.Library()


@register.filter
def size(count: int) -> str:
    """Return a number of bytes in words: “640 bytes”, “1.2 MB”, “30 MB”. A KB has 1024 bytes."""
    if count < 1024:
        return ngettext("%(n)d byte", "%(n)d bytes", count) % {"n": count}
    value, unit = count / 1024, "KB"
    for larger in ("MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1024, larger
    return f"{value:.1f} {unit}" if value < 9.95 and f"{value:.1f}"[-1] != "0" else f"{value:.0f} {unit}"


@register.filter
def hours(count: int) -> str:
    """Return a number of hours in words, as whole days where they are: “36 hours”, “7 days”."""
    if count % 24 == 0:
        return ngettext("%(n)d day", "%(n)d days", count // 24) % {"n": count // 24}
    return ngettext("%(n)d hour", "%(n)d hours", count) % {"n": count}


@register.filter
def deed(verb: str) -> str:
    """Return what an audit entry's verb says, as the end of a sentence that begins with who did it."""
    return str(DEEDS.get(verb, verb))


@register.filter
def about(data: dict[str, Any]) -> str:
    """Return the name of what an audit entry is about, where its data tell one."""
    return next((str(data[key]) for key in ("name", "email", "upload", "title", "label") if data.get(key)), "")


@register.simple_tag
def moment(when: datetime | None) -> SafeString | str:
    """Return a ``<time>`` that says how long ago a moment is, with the full date in its title and for programs."""
    if when is None:
        return _("never")
    full = _("%(date)s UTC") % {"date": date(when.astimezone(UTC), "j F Y, H:i")}
    stamp = when.astimezone(UTC).isoformat(timespec="seconds")
    return format_html('<time datetime="{}" title="{}">{}</time>', stamp, full, naturaltime(when))
