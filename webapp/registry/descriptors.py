"""Search by descriptor: the works that show what a query shows, or a part of it.

The index (HNSW, Malkov and Yashunin 2018) is approximate: it may miss one that is there. The hashes are searched
exactly beside it; whatever either finds is verified.
"""

from __future__ import annotations

import uuid

from django.db import connection, transaction
from pgvector import HalfVector

from provenance.hashing.descriptor import DESCRIPTOR, Vectors
from provenance.matching.index import Candidate

# How many vectors the index keeps in hand while it searches: more are slower and miss less.
_BEAM = 200


def works_like(query: Vectors, most: int, limit: int) -> tuple[list[Candidate], bool]:
    """Return live works with a vector near to any of the query's, nearest first.

    Args:
        query: unit vectors, float32 ``[N, 256]``.
        most: distance that counts, 1 - cosine in thousandths.
        limit: so many at most, and of each of the query's vectors the nearest so many are looked at.

    Returns:
        Candidates with the work's id, the distance in thousandths, and which of the query's vectors has it; and whether
        these are all there are within ``most``.
    """
    nearest: dict[uuid.UUID, Candidate] = {}
    found_is_all = True
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL hnsw.ef_search = {_BEAM}; SET LOCAL hnsw.iterative_scan = relaxed_order")
        for number, vector in enumerate(query):
            cursor.execute(
                "SELECT d.work_id, d.vector <=> %s::halfvec AS distance"
                " FROM registry_descriptor d JOIN registry_work w ON w.id = d.work_id"
                " WHERE d.algorithm = %s AND w.deleted_at IS NULL ORDER BY distance LIMIT %s",
                [HalfVector(vector).to_text(), DESCRIPTOR.algorithm, limit],
            )
            rows = cursor.fetchall()
            # A work has several vectors, so that a full answer may hold few works.
            if len(rows) == limit and round(1000 * rows[-1][1]) <= most:
                found_is_all = False
            for work_id, cosine_distance in rows:
                distance = round(1000 * cosine_distance)
                if distance <= most and (work_id not in nearest or distance < nearest[work_id].distance):
                    nearest[work_id] = Candidate(work_id, distance, number)
    ranked = sorted(nearest.values(), key=lambda found: (found.distance, found.id))
    return ranked[:limit], found_is_all and len(ranked) <= limit
