"""What pages of lower apps show of reviews."""

from __future__ import annotations

from typing import Any

from django import template

from webapp.checks.models import Check
from webapp.reviews import selectors

register = template.Library()


@register.inclusion_tag("reviews/_since.html")
def decided_since(check: Check) -> dict[str, Any]:
    """Show what reviewers decided on a check's pairs after its verdict, which stays as it was given."""
    return {"decisions": selectors.decided_since(check)}


@register.filter
def may_review(user: Any) -> bool:
    """Say whether this person decides on matches."""
    return selectors.may_review(user)
