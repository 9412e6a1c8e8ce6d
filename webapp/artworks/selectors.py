"""Reading artworks, proofs and trials, and who may: the only way by which a view gets one."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from django.contrib.auth.models import AnonymousUser
from django.db.models import Q, QuerySet
from django.http import Http404

from webapp.accounts.models import Role, User
from webapp.artworks.models import Artwork, Proof, Trial
from webapp.registry.models import Visibility

Viewer = User | AnonymousUser


@dataclass(frozen=True)
class SeenArtwork:
    """An artwork as somebody sees it. Of a registered one everybody sees the record: title, owner, recipe.

    Attributes:
        member: whether they belong to the organisation that registered it.
        write: whether they may change and delete it.
        picture: whether they see the picture, and what it can be decoded from.
        prove: whether they may try to make it again.
        creator: whether they had it generated: only they read the prompt, where it is kept.
    """

    artwork: Artwork
    member: bool
    write: bool
    picture: bool
    prove: bool
    creator: bool


def artworks_of(user: Viewer) -> QuerySet[Artwork]:
    """Return the live artworks of this person's organisations, newest first."""
    if not user.is_authenticated:
        return Artwork.objects.none()
    return (
        Artwork.objects.live()
        .filter(organisation__memberships__user=user)
        .select_related("job", "work", "organisation")
    )


def artwork_get(*, user: Viewer, artwork_id: uuid.UUID | str, deleted: bool = False) -> SeenArtwork:
    """Return an artwork. One that is not registered is for its organisation's members.

    Args:
        deleted: return one that is deleted, to whoever may bring it back.

    Raises:
        Http404: there is none, or not for them.
    """
    artworks = Artwork.objects.select_related("organisation", "job", "work__deletion", "owner")
    artwork = artworks.filter(pk=artwork_id).first()
    # One whose picture the registry has purged is about to go too.
    if artwork is None or (artwork.work is None and artwork.generated_at is not None):
        raise Http404
    seen = _seen(artwork, user)
    if artwork.work is not None and artwork.work.deleted_at is not None:
        if not (deleted and seen.write):
            raise Http404
    elif not artwork.is_registered and not seen.member:
        raise Http404
    return seen


def _seen(artwork: Artwork, user: Viewer) -> SeenArtwork:
    role = None
    if user.is_authenticated:
        role = artwork.organisation.memberships.filter(user=user).values_list("role", flat=True).first()
    public = artwork.visibility == Visibility.PUBLIC and artwork.is_registered
    return SeenArtwork(
        artwork=artwork,
        member=role is not None,
        write=role in (Role.OWNER, Role.EDITOR),
        picture=role is not None or public or (user.is_staff and artwork.is_registered),
        prove=artwork.is_registered and user.is_authenticated and (role is not None or public),
        creator=role is not None and user.pk == artwork.owner_id,
    )


def proofs_of(seen: SeenArtwork, user: Viewer) -> QuerySet[Proof]:
    """Return the proofs of an artwork: to members all, to others those that they tried themselves."""
    proofs = seen.artwork.proofs.select_related("job", "prover", "organisation")
    if seen.member:
        return proofs
    return proofs.filter(Q(prover=user) if user.is_authenticated else Q(pk__in=()))


def proof_get(*, user: Viewer, artwork_id: uuid.UUID | str, proof_id: uuid.UUID | str) -> tuple[Proof, SeenArtwork]:
    """Return a proof of an artwork that this person sees. Whoever has its link reads the result.

    Raises:
        Http404: there is none, or its artwork is not for them.
    """
    seen = artwork_get(user=user, artwork_id=artwork_id)
    proof = seen.artwork.proofs.select_related("job", "prover", "organisation").filter(pk=proof_id).first()
    if proof is None:
        raise Http404
    proof.artwork = seen.artwork
    return proof, seen


def trial_get(*, user: Viewer, trial_id: uuid.UUID | str) -> Trial:
    """Return a trial of this person's.

    Raises:
        Http404: there is none, or it is somebody else's.
    """
    found = Trial.objects.select_related("job").filter(pk=trial_id).first()
    if found is None or not user.is_authenticated or found.owner_id != user.pk:
        raise Http404
    return found
