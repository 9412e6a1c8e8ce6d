"""Parts of answers that several resources share."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from rest_framework import serializers
from rest_framework.request import Request

from webapp.jobs.models import Job, JobState
from webapp.jobs.selectors import job_snapshot

STEP_STATES = [
    ("waiting", "not begun"),
    ("current", "being done"),
    ("done", "done"),
    ("failed", "ended the work with an error"),
    ("cancelled", "was being done when the work was cancelled"),
]


def address(request: Request, view_name: str, *args: Any) -> str:
    """Return the whole address of a view."""
    return request.build_absolute_uri(reverse(view_name, args=args))


class AddressField(serializers.URLField):
    """The address of a view whose one argument is the object's attribute ``source``."""

    def __init__(self, view_name: str, *, source: str = "pk", **options: Any) -> None:
        super().__init__(source=source, read_only=True, **options)
        self.view_name = view_name

    def to_representation(self, value: Any) -> str:
        """Return the address, with the host by which it was asked."""
        return address(self.context["request"], self.view_name, value)


class StepSerializer(serializers.Serializer[dict[str, Any]]):
    """A step of long work."""

    key = serializers.CharField(help_text="For programs.")
    label = serializers.CharField(help_text="For people.")  # type: ignore[assignment]  # hides Field.label
    state = serializers.ChoiceField(choices=STEP_STATES)


class ProgressSerializer(serializers.Serializer[Job]):
    """How far long work is."""

    percent = serializers.IntegerField(min_value=0, max_value=100)
    steps = StepSerializer(many=True)
    done = serializers.IntegerField(min_value=0, help_text="Within the present step.")
    total = serializers.IntegerField(min_value=0, help_text="Within the present step; 0 where that is not counted.")
    note = serializers.CharField(allow_blank=True, help_text="A few words on it for people.")
    seconds_left = serializers.IntegerField(min_value=0, allow_null=True, help_text="A guess.")

    def to_representation(self, instance: Job) -> dict[str, Any]:
        """Return the snapshot that watchers on the site get, less what stands elsewhere in the answer."""
        return super().to_representation(job_snapshot(instance))  # type: ignore[arg-type]


class FailureSerializer(serializers.Serializer[Job]):
    """Why work ended without a result."""

    code = serializers.CharField(source="error_code", help_text="One of the problem codes.")
    message = serializers.CharField(source="error_message", help_text="What is wrong and what to do.")


class StateField(serializers.ChoiceField):
    """Where long work stands."""

    def __init__(self, **options: Any) -> None:
        super().__init__(choices=JobState.choices, source="job.state", **options)


def failure_of(job: Job) -> dict[str, Any] | None:
    """Return why a job ended without a result, where it did."""
    return dict(FailureSerializer(job).data) if job.error_code else None
