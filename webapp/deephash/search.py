"""The pictures nearest to a query by deep hash: by code, and among equal codes by feature vector, in PostgreSQL."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from django.db import connection
from django.db.models import QuerySet
from pgvector import HalfVector

from provenance.hashing.autoencoders import Features, Packed
from webapp.deephash.models import CatalogueHash, DeepCode

_COLUMNS = {64: "code64", 128: "code128"}


@dataclass(frozen=True)
class FoundWork:
    """A registered work near a query.

    Attributes:
        distance: bits that differ.
        dissimilarity: mean squared difference of the feature vectors, as float16 keeps them.
    """

    work_id: uuid.UUID
    distance: int
    dissimilarity: float


def codes_of(choice: CatalogueHash) -> QuerySet[DeepCode]:
    """Return the codes of a catalogue's live works."""
    return DeepCode.objects.filter(
        algorithm=choice.algorithm, work__catalogue_item__catalogue=choice.catalogue_id, work__deleted_at=None
    )


def bits_of(code: Packed) -> str:
    """Return a packed code, uint8 ``[bits / 8]``, as characters 0 and 1."""
    return "".join(f"{byte:08b}" for byte in code.tolist())


def works_nearest(
    *,
    algorithm: str,
    code: Packed,
    feature: Features,
    limit: int,
    catalogue: uuid.UUID | None = None,
    radius: int | None = None,
) -> list[FoundWork]:
    """Return the live works nearest to a query, nearest first: exact, one scan of the codes of the algorithm. Feature
    vectors, which are long, are read of those only that their codes may place among the first.

    Args:
        code: uint8 ``[bits / 8]``; ``feature``: float, as the codes of the algorithm were stored with.
        catalogue: only what is in it. Otherwise in every catalogue that uses this hash.
        radius: only codes that differ in so many bits or fewer.

    Raises:
        KeyError: no column holds codes of that length.
    """
    length = 8 * len(code)
    column = _COLUMNS[length]
    conditions, values = ["d.algorithm = %s", "w.deleted_at IS NULL", "h.algorithm = d.algorithm"], [algorithm]
    if catalogue is not None:
        conditions.append("i.catalogue_id = %s")
        values.append(str(catalogue))
    if radius is not None:
        conditions.append(f"d.{column} <~> %s::bit({length}) <= {int(radius)}")
        values.append(bits_of(code))
    with connection.cursor() as cursor:
        cursor.execute(
            # Only column names of our own, numbers and placeholders are put into the text.
            f"WITH near AS MATERIALIZED (SELECT d.id, (d.{column} <~> %s::bit({length}))::int AS distance"  # noqa: S608
            " FROM deephash_deepcode d JOIN registry_work w ON w.id = d.work_id"
            " JOIN catalogues_catalogueitem i ON i.work_id = w.id"
            " JOIN deephash_cataloguehash h ON h.catalogue_id = i.catalogue_id"
            f" WHERE {' AND '.join(conditions)})"
            " SELECT d.work_id, near.distance, power(d.feature <-> %s::halfvec, 2) / %s AS dissimilarity"
            " FROM near JOIN deephash_deepcode d ON d.id = near.id WHERE near.distance <="
            " (SELECT max(distance) FROM (SELECT distance FROM near ORDER BY distance LIMIT %s) AS first)"
            " ORDER BY near.distance, dissimilarity, d.work_id LIMIT %s",
            [bits_of(code), *values, HalfVector(feature).to_text(), len(feature), limit, limit],
        )
        return [FoundWork(work_id, distance, float(value)) for work_id, distance, value in cursor.fetchall()]
