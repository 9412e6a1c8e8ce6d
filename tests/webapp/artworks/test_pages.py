"""The pages of artworks: what they ask, say and refuse, and that nothing typed is lost."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from provenance.artwork.recipe import DEFAULT_EXCLUSIONS
from provenance.artwork.record import Record
from tests.webapp.artworks.conftest import FILE, PROMPT, Request, finish, signature, upload
from tests.webapp.conftest import Cast, make_person
from tests.webapp.pages.test_public import Page
from tests.webapp.pictures import png
from webapp.accounts.models import AuditEntry
from webapp.artworks.models import Artwork, ArtworkSecret
from webapp.artworks.services import artwork_delete, artwork_edit
from webapp.artworks.vault import keys_of
from webapp.errors import ErrorCode, ProductError
from webapp.jobs.models import Job
from webapp.jobs.services import job_cancel
from webapp.registry.models import Visibility

pytestmark = pytest.mark.django_db
NEW = "/artworks/new/"


def form(cast: Cast, **changes: Any) -> dict[str, Any]:
    """Return what a browser sends of the form as it stands, filled in."""
    given = {
        "prompt": PROMPT,
        "signature": upload(),
        "organisation": str(cast.organisation.pk),
        "title": "Forest",
        "preset": "draft",
        "mode": "canonical",
        "visibility": "public",
        "exclusions": ", ".join(DEFAULT_EXCLUSIONS),
        **changes,
    }
    return {name: value for name, value in given.items() if value is not None}


def hidden(response: Any, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', response.content.decode())
    assert found, name
    return found[1]


def test_it_works(cast: Cast) -> None:
    client = cast.client("owner")
    page = client.get(NEW)
    assert page.status_code == 200
    assert Page(page.content.decode()).inline == []
    known = form(cast, prompt="the red forest", keep_prompt="on")
    response = client.post(NEW, known)
    artwork = Artwork.objects.get()
    assert response["Location"] == reverse("artworks:detail", args=[artwork.pk])
    assert keys_of(artwork.job).signatures == (signature(),)
    making = client.get(response["Location"])
    text = making.content.decode()
    assert "artworks/making.html" in [template.name for template in making.templates]
    assert f'data-preview="{reverse("artworks:preview", args=[artwork.pk])}"' in text
    assert 'http-equiv="refresh"' in text
    assert Page(text).inline == []
    assert client.get(reverse("artworks:preview", args=[artwork.pk])).status_code == 204

    finish(artwork.job)
    done = client.get(response["Location"]).content.decode()
    artwork.refresh_from_db()
    assert Page(done).inline == []
    for shown in (
        artwork.recipe_digest,
        artwork.latent_sha256,
        json.loads(artwork.recipe)["key_commitment"],
        "bit for bit",
        "does not issue certificates yet",
        "the red forest",
        reverse("artworks:picture", args=[artwork.pk]) + "?download",
        reverse("artworks:prove", args=[artwork.pk]),
    ):
        assert shown in done, shown


def test_words_the_model_does_not_know_are_named_and_the_file_is_not_asked_for_again(cast: Cast) -> None:
    client = cast.client("owner")
    named = client.post(NEW, form(cast, prompt="a sunset with Zorblax, zorblax with Quux"))
    text = named.content.decode()
    assert named.status_code == 400
    assert not Artwork.objects.exists()
    assert re.findall(r"<strong>(\w+)</strong>", text) == ["zorblax", "quux"]
    assert "a sunset with Zorblax, zorblax with Quux</textarea>" in text
    assert 'name="signature" required' not in text
    assert 'name="signature" required' in client.get(NEW).content.decode()
    again = form(
        cast,
        prompt="a sunset with Zorblax, zorblax with Quux",
        signature=None,
        signature_kept=hidden(named, "signature_kept"),
        unknown_accepted=hidden(named, "unknown_accepted"),
    )
    assert client.post(NEW, again).status_code == 302
    assert keys_of(Artwork.objects.get().job).signatures == (signature(),)
    other_words = client.post(NEW, {**again, "prompt": "a sunset with Xyzzy"})
    assert "xyzzy" in other_words.content.decode()


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"prompt": ""}, "prompt", "Say in words"),
        ({"prompt": "red " * 251}, "prompt", "At most 1000 characters"),
        ({"signature": upload(b"")}, "signature", "is empty"),
        ({"signature": None}, "signature", "Choose the file"),
        ({"title": ""}, "title", "required"),
        ({"title": "The Red forest at sunset "}, "title", "Choose another title"),
        ({"title": "x" * 201}, "title", "200"),
        ({"preset": "huge"}, "preset", "valid choice"),
        ({"exclusions": "x" * 61}, "exclusions", "At most 20 words"),
        ({"organisation": "00000000-0000-0000-0000-000000000000"}, "organisation", "valid choice"),
    ],
)
def test_what_will_not_do_is_told_and_nothing_typed_is_lost(
    cast: Cast, changes: dict[str, Any], field: str, words: str
) -> None:
    given = form(cast, **{"prompt": "the red forest at sunset", **changes})
    response = cast.client("owner").post(NEW, given)
    assert response.status_code == 400
    assert words in " ".join(response.context["form"].errors[field])
    text = response.content.decode()
    assert f'href="#id_{field}' in text, "the summary links to the field"
    assert f"{given['prompt']}</textarea>" in text
    if field not in ("signature", "organisation") or "signature" in changes:
        assert given.get("title", "") in text
    assert ("signature_kept" in text) == (field != "signature")
    assert not Artwork.objects.exists()


def test_a_signature_that_is_too_large_is_told(cast: Cast, settings: Any) -> None:
    settings.SIGNATURE_MAX_BYTES = 1000
    response = cast.client("owner").post(NEW, form(cast, signature=upload(b"x" * 1001)))
    assert response.status_code == 400
    assert "the limit is" in response.context["form"].errors["signature"][0]


def test_a_kept_signature_is_that_persons_and_for_an_hour(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    client = cast.client("owner")
    token = hidden(client.post(NEW, form(cast, title="")), "signature_kept")
    given = form(cast, signature=None, signature_kept=token)
    colleague = cast.client("colleague").post(NEW, given)
    assert "signature" in colleague.context["form"].errors
    damaged = client.post(NEW, {**given, "signature_kept": "A" * 40})
    assert "signature" in damaged.context["form"].errors
    monkeypatch.setattr("webapp.artworks.vault.time.time", lambda: 4_000_000_000.0)
    assert "signature" in client.post(NEW, given).context["form"].errors
    monkeypatch.undo()


def test_a_limit_is_told_on_the_form(cast: Cast, settings: Any) -> None:
    settings.ARTWORKS_PER_HOUR = 1
    client = cast.client("owner")
    assert client.post(NEW, form(cast, prompt="red")).status_code == 302
    refused = client.post(NEW, form(cast, prompt="red"))
    assert refused.status_code == 429
    assert "Try again in" in refused.content.decode()
    assert "red</textarea>" in refused.content.decode()


def test_pixels_of_a_picture_are_the_key_whatever_its_file(cast: Cast) -> None:
    client = cast.client("owner")
    for data, name in ((png(3), "one.png"), (png(3, compress_level=1), "two.png")):
        client.post(NEW, form(cast, prompt="red", signature=upload(data, name)))
    one, other = (keys_of(artwork.job).signatures[0] for artwork in Artwork.objects.all())
    assert one.byte_digest != other.byte_digest
    assert one.key == other.key


def test_whoever_has_no_organisation_is_sent_to_make_one(cast: Cast) -> None:
    client = Client()
    client.force_login(make_person("new@person.example"), backend="allauth.account.auth_backends.AuthenticationBackend")
    moved = client.get(NEW)["Location"]
    assert moved == f"{reverse('accounts_site:organisation-new')}?next={NEW}"
    empty = client.get("/artworks/").content.decode()
    assert "belongs to an organisation" in empty
    assert reverse("artworks:what-changed") in empty, "it needs none"
    assert cast.client("viewer").get(NEW).status_code == 302
    assert client.post(moved, {"name": "Ann alone", "website": ""})["Location"] == NEW, "back to the artwork"
    elsewhere = moved.replace(NEW, "//elsewhere.example/")
    assert client.post(elsewhere, {"name": "Ann again", "website": ""})["Location"].startswith("/organisation/")


def test_the_list_shows_every_state(cast: Cast, requested: Request, registered: Request) -> None:
    assert "No artwork yet" in cast.client("owner").get("/artworks/").content.decode()
    registered(title="Done")
    requested(title="Under way")
    job_cancel(job=requested(title="Stopped").job)
    for who in ("owner", "colleague", "viewer"):
        text = cast.client(who).get("/artworks/").content.decode()
        assert all(words in text for words in ("Done", "Under way", "Stopped", "Waiting", "Cancelled", "Canonical"))
    assert "Done" not in cast.client("outsider").get("/artworks/").content.decode()


def test_the_dashboard_shows_what_is_under_way(cast: Cast, requested: Request) -> None:
    artwork = requested()
    (running,) = cast.client("colleague").get("/dashboard/").context["running"]
    assert (running.title, running.url) == ("Forest", reverse("artworks:detail", args=[artwork.pk]))


def test_a_cancelled_one_says_that_its_keys_are_gone_and_can_be_removed(cast: Cast, requested: Request) -> None:
    artwork = requested()
    client = cast.client("owner")
    client.post(reverse("jobs:cancel", args=[artwork.job_id]))
    page = reverse("artworks:detail", args=[artwork.pk])
    assert "Your two keys are deleted here" in client.get(page).content.decode()
    assert client.post(reverse("artworks:delete", args=[artwork.pk]))["Location"] == "/artworks/"
    assert not Artwork.objects.exists()
    assert not Job.objects.exists()


def test_removing_one_under_way_stops_it(cast: Cast, requested: Request) -> None:
    artwork = requested()
    cast.client("colleague").post(reverse("artworks:delete", args=[artwork.pk]))
    assert not ArtworkSecret.objects.exists()
    assert client_status(cast, "owner", artwork) == 404


def test_what_was_removed_meanwhile_is_not_found(cast: Cast, requested: Request) -> None:
    """Two clicks at once: both requests have found it before the first has removed it."""
    artwork = requested()
    artwork_delete(artwork=artwork, actor=cast.owner)
    for change in (
        lambda: artwork_delete(artwork=artwork, actor=cast.owner),
        lambda: artwork_edit(artwork=artwork, title="Lake", visibility=Visibility.PUBLIC, actor=cast.owner),
    ):
        with pytest.raises(ProductError) as refusal:
            change()
        assert (refusal.value.code, refusal.value.status) == (ErrorCode.NOT_FOUND, 404)


def client_status(cast: Cast, who: str, artwork: Artwork) -> int:
    return cast.client(who).get(reverse("artworks:detail", args=[artwork.pk])).status_code


def test_deleting_can_be_undone(cast: Cast, registered: Request, settings: Any) -> None:
    artwork = registered()
    client = cast.client("owner")
    where = client.post(reverse("artworks:delete", args=[artwork.pk]))["Location"]
    banner = client.get(where).content.decode()
    assert reverse("artworks:restore", args=[artwork.pk]) in banner
    assert "Deleted: “Forest”" in banner
    assert client_status(cast, "outsider", artwork) == 404
    assert "Nobody finds this artwork" in client.get(reverse("artworks:detail", args=[artwork.pk])).content.decode()
    for name in ("picture", "record", "recipe", "prove"):
        assert client.get(reverse(f"artworks:{name}", args=[artwork.pk])).status_code == 404, name
    assert cast.client("outsider").get(where).status_code == 200
    assert "Undo" not in cast.client("outsider").get(where).content.decode()
    client.post(reverse("artworks:restore", args=[artwork.pk]))
    assert client_status(cast, "outsider", artwork) == 200
    again = client.post(reverse("artworks:restore", args=[artwork.pk]), follow=True)
    assert "not deleted" in again.content.decode()


def test_editing_changes_the_registered_work_too(cast: Cast, registered: Request) -> None:
    artwork = registered()
    page = reverse("artworks:edit", args=[artwork.pk])
    client = cast.client("colleague")
    assert client.post(page, {"title": "", "visibility": "public"}).status_code == 400
    assert client.post(page, {"title": "Wood", "visibility": "record_only"}).status_code == 302
    artwork.refresh_from_db()
    assert artwork.work is not None
    artwork.work.refresh_from_db()
    assert (artwork.title, artwork.visibility) == ("Wood", Visibility.RECORD_ONLY)
    assert (artwork.work.title, artwork.work.visibility) == ("Wood", Visibility.RECORD_ONLY)
    entry = AuditEntry.objects.get(verb="artwork.edited")
    assert entry.data == {"before": {"title": "Forest", "visibility": "public"}}


def test_only_its_creator_reads_a_kept_prompt(cast: Cast, registered: Request) -> None:
    artwork = registered(keep_prompt=True)
    page = reverse("artworks:detail", args=[artwork.pk])
    assert PROMPT in cast.client("owner").get(page).content.decode()
    for who in ("colleague", "viewer", "outsider", "reviewer", "superuser", "anonymous"):
        assert PROMPT not in cast.client(who).get(page).content.decode(), who
    assert "This cannot be undone." in cast.client("owner").get(page).content.decode()
    forget = reverse("artworks:forget-prompt", args=[artwork.pk])
    assert cast.client("colleague").post(forget).status_code == 403
    assert cast.client("owner").post(forget).status_code == 302
    artwork.refresh_from_db()
    assert artwork.prompt_sealed is None
    assert PROMPT not in cast.client("owner").get(page).content.decode()


def test_downloads_are_what_is_registered(cast: Cast, registered: Request) -> None:
    artwork = registered()
    client = cast.client("owner")
    picture = client.get(reverse("artworks:picture", args=[artwork.pk]) + "?download")
    assert picture["Content-Type"] == "image/png"
    assert picture["Content-Disposition"] == f'attachment; filename="artwork-{artwork.pk}.png"'
    recipe = client.get(reverse("artworks:recipe", args=[artwork.pk]))
    assert recipe.content.decode() == artwork.recipe
    record = Record.from_json(client.get(reverse("artworks:record", args=[artwork.pk])).content)
    assert record.pixel_sha256 == artwork.pixel_sha256


def test_the_registry_and_a_check_lead_to_the_artwork(cast: Cast, registered: Request) -> None:
    artwork = registered()
    work_page = Client().get(reverse("registry:work", args=[artwork.work_id])).content.decode()
    assert reverse("artworks:detail", args=[artwork.pk]) in work_page


def test_line_ends_of_a_browser_do_not_change_the_prompt(cast: Cast, registered: Request) -> None:
    artwork = registered(prompt="the red forest\nwith a lake")
    client = cast.client("owner")
    given = {"prompt": "the red forest\r\nwith a lake", "signature": upload(FILE)}
    client.post(reverse("artworks:prove", args=[artwork.pk]), given)
    assert artwork.proofs.get().prompt_fits


def test_the_prompt_is_refused_as_a_new_title_too(cast: Cast, registered: Request) -> None:
    artwork = registered()
    page = cast.client("owner").post(
        reverse("artworks:edit", args=[artwork.pk]), {"title": f" {PROMPT} ", "visibility": "public"}
    )
    assert page.status_code == 400
    assert "one of your two keys" in page.content.decode()
    artwork.refresh_from_db()
    assert artwork.title == "Forest"
