"""Is one picture inside the other, where, and how much: key points, homography, photometric agreement.

SIFT key points (Lowe, IJCV 2004) with RootSIFT descriptors (Arandjelovic and Zisserman, CVPR 2012) are
matched both ways with a ratio test; MAGSAC (Barath et al., CVPR 2019) finds the homography; the simplest of
similarity, affine map and homography that explains the inliers is kept: it is steadier away from them.

The same two pictures give the same result on the same versions, whatever the number of threads: descriptors
are small integers whose products are exact in float32, and the sampler's seed is fixed.

Coordinates are pixel centres: the centre of the top left pixel is (0, 0), its outer corner (-0.5, -0.5).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

RGB = npt.NDArray[np.uint8]
Grey = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
F64 = npt.NDArray[np.float64]

WORKING_SIDE = 640
SMALLEST_WORKING_SIDE = 320
MAX_KEY_POINTS = 1000
MIN_KEY_POINTS = 8
MIN_INLIERS = 8
_RATIO = 0.8
_REPROJECTION_PX = 3.0
_COMPARE_SIDE = 256
_MAX_SCALE = 20.0
_MAX_STRETCH = 4.0
_MAX_PERSPECTIVE = 4.0
# One SIFT descriptor is 4 rows x 4 columns x 8 directions around the key point's own axis. In the mirrored
# picture the rows change places and every direction changes sign.
_MIRRORED_BINS = np.arange(128).reshape(4, 4, 8)[::-1, :, [-d % 8 for d in range(8)]].ravel()


@dataclass(frozen=True, eq=False)
class Features:
    """What align needs of one picture, described once and matched against many.

    `width` and `height` are the picture's; the rest lives at working size (longest side 320..640):
    `grey` [h,w] uint8, `points` [N,2] float32 (x, y), `sizes` [N] float32 (key point diameters),
    `descriptors` [N,128] uint8 (RootSIFT x 512).
    """

    width: int
    height: int
    grey: Grey
    points: npt.NDArray[np.float32]
    sizes: npt.NDArray[np.float32]
    descriptors: npt.NDArray[np.uint8]

    @property
    def enough(self) -> bool:
        """Whether there are key points enough to align this picture with anything."""
        return len(self.points) >= MIN_KEY_POINTS

    @property
    def to_working(self) -> F64:
        """[3,3] map from the picture's pixel coordinates to those of `grey`."""
        height, width = self.grey.shape
        return resize_map(width / self.width, height / self.height)


@dataclass(frozen=True, eq=False)
class Alignment:
    """How the query lies in the reference.

    `homography` [3,3] float64 takes query pixels to reference pixels (mirroring included when `mirrored`).
    `inliers` of `matches` key point pairs agree with it; `inlier_ratio` is their quotient, 0 where the map was found
    by grey values (`provenance.images.register`). `overlap_query`
    and `overlap_reference` are the common area as a fraction (0..1) of each picture. `similarity` is the
    zero-mean normalised cross-correlation of grey values in the overlap, -1..1, and 0 where either is flat
    there. `corners` [4,2] float64 are the query's outer corners in the reference (top left, top right,
    bottom right, bottom left as seen in the query).
    """

    homography: F64
    mirrored: bool
    inliers: int
    matches: int
    inlier_ratio: float
    overlap_query: float
    overlap_reference: float
    similarity: float
    corners: F64


def features(picture: RGB) -> Features:
    """Describe a picture [H,W,3] uint8 sRGB for `align_features`; about 0.1 s on one core.

    A flat picture has no key points: see `Features.enough`.
    """
    height, width, _ = picture.shape
    side = max(height, width)
    scale = min(1.0, WORKING_SIDE / side) if side > SMALLEST_WORKING_SIDE else SMALLEST_WORKING_SIDE / side
    size = max(1, round(width * scale)), max(1, round(height * scale))
    grey = resized(grey_of(picture), size)
    # Without the precise upscale every key point lies a quarter of a pixel off.
    sift = cv2.SIFT.create(nfeatures=MAX_KEY_POINTS, contrastThreshold=0.02, enable_precise_upscale=True)
    key_points, described = sift.detectAndCompute(grey, None)
    # The detector may return one or two more than asked for when the weakest are equal.
    key_points = key_points[:MAX_KEY_POINTS]
    if not key_points:
        described = np.zeros((0, 128), np.float32)
    described = described[: len(key_points)]
    total = described.sum(axis=1, keepdims=True)
    root = np.sqrt(described / np.maximum(total, 1.0)) * 512
    return Features(
        width=width,
        height=height,
        grey=grey,
        points=np.array([k.pt for k in key_points], np.float32).reshape(-1, 2),
        sizes=np.array([k.size for k in key_points], np.float32),
        descriptors=np.minimum(np.rint(root), 255).astype(np.uint8),
    )


def align(query: RGB, reference: RGB, *, try_mirror: bool = True) -> Alignment | None:
    """Align two pictures [H,W,3] uint8 sRGB; None where no plausible common part is found.

    None is no proof of difference: ask `features(picture).enough` whether both had key points at all.
    """
    return align_features(features(query), features(reference), try_mirror=try_mirror)


def align_features(query: Features, reference: Features, *, try_mirror: bool = True) -> Alignment | None:
    """As `align`, for pictures described before. About 0.03 s a pair on one core."""
    if not (query.enough and reference.enough):
        return None
    found = [_find_map(query, reference, mirrored) for mirrored in ((False, True) if try_mirror else (False,))]
    best = max((f for f in found if f is not None), key=lambda f: f.inliers, default=None)
    if best is None:
        return None
    to_reference = np.linalg.inv(reference.to_working) @ best.matrix @ query.to_working
    found_here = laid_over(to_reference, query, reference, mirrored=best.mirrored)
    if found_here is None:
        return None
    return replace(found_here, inliers=best.inliers, matches=best.matches, inlier_ratio=best.inliers / best.matches)


def laid_over(homography: F64, query: Features, reference: Features, *, mirrored: bool) -> Alignment | None:
    """Return the alignment that a map found otherwise gives, without key points; None where they do not overlap.

    Args:
        homography: float64 ``[3, 3]``, from pixels of the query to those of the reference.
    """
    homography = homography / homography[2, 2]
    overlap_query, overlap_reference = _overlaps(
        homography, (query.width, query.height), (reference.width, reference.height)
    )
    if overlap_query <= 0:
        return None
    at_work = reference.to_working @ homography @ np.linalg.inv(query.to_working)
    return Alignment(
        homography=homography,
        mirrored=mirrored,
        inliers=0,
        matches=0,
        inlier_ratio=0.0,
        overlap_query=overlap_query,
        overlap_reference=overlap_reference,
        similarity=_similarity(query.grey, reference.grey, at_work),
        corners=_project(homography, _corners(query.width, query.height)),
    )


def render_aligned(query: RGB, reference: RGB, alignment: Alignment) -> tuple[RGB, Mask]:
    """The query drawn over the reference's frame.

    Returns pixels [Href,Wref,3] uint8 (black outside the query) and a mask [Href,Wref] of where the query is.
    """
    height, width, _ = reference.shape
    return warp(query, alignment.homography, (width, height))


def common_part(query: RGB, reference: tuple[int, int], alignment: Alignment) -> RGB:
    """Return the query's upright rectangle ``[h, w, 3]`` around what it has of the reference, a view.

    Args:
        reference: width and height of the picture that it was aligned with.
    """
    height, width, _ = query.shape
    _inside, outline = _common(alignment.homography, (width, height), reference)
    left, top = np.maximum(np.floor(outline.min(axis=0) + 0.5).astype(int), 0)
    right, bottom = np.ceil(outline.max(axis=0) + 0.5).astype(int)
    return query[top:bottom, left:right]


def difference(warped: RGB, reference: RGB, mask: Mask) -> RGB:
    """Heat map [H,W,3] uint8 of the mean absolute difference over channels: black is 0, pale yellow 255.

    Outside the mask, where there is nothing to compare, the reference is shown in faint grey.
    """
    gap = np.abs(warped.astype(np.int16) - reference).mean(axis=2)
    heat = cv2.cvtColor(cv2.applyColorMap(np.rint(gap).astype(np.uint8), cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    faint = 160 + grey_of(reference) // 4
    result: RGB = np.where(mask[:, :, None], heat, faint[:, :, None])
    return result


@dataclass(frozen=True, eq=False)
class _Found:
    matrix: F64  # query to reference at working size
    mirrored: bool
    inliers: int
    matches: int


def _find_map(query: Features, reference: Features, mirrored: bool) -> _Found | None:
    descriptors = query.descriptors[:, _MIRRORED_BINS] if mirrored else query.descriptors
    pairs_query, pairs_reference = _match(descriptors, reference.descriptors)
    if len(pairs_query) < MIN_INLIERS:
        return None
    height, width = query.grey.shape
    flip = np.array([[-1.0, 0, width - 1], [0, 1, 0], [0, 0, 1]]) if mirrored else np.eye(3)
    source = _project(flip, query.points[pairs_query].astype(np.float64))
    target = reference.points[pairs_reference].astype(np.float64)
    # A query drawn larger in the reference has its key point errors drawn larger too.
    growth = np.median(reference.sizes[pairs_reference] / query.sizes[pairs_query])
    tolerance = _REPROJECTION_PX * float(np.clip(growth, 1.0, 5.0))
    matrix = _sample_homography(source, target, tolerance)
    if matrix is None:
        return None
    matrix = _simplest(matrix, source, target, tolerance)
    inside = _errors(matrix, source, target) < tolerance
    # One spot may carry several key points: it is one witness.
    inliers = min(len(np.unique(side[inside], axis=0)) for side in (source, target))
    if inliers < MIN_INLIERS or not _plausible(matrix, width, height):
        return None
    distinct = min(len(np.unique(side, axis=0)) for side in (source, target))
    return _Found(matrix @ flip, mirrored, inliers, distinct)


def _match(
    query: npt.NDArray[np.uint8], reference: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Indices of mutual nearest neighbours that pass the ratio test on the query's side."""
    q, r = query.astype(np.float32), reference.astype(np.float32)
    distances = (q * q).sum(axis=1)[:, None] + (r * r).sum(axis=1)[None, :] - 2 * (q @ r.T)
    rows = np.arange(len(q))
    nearest = distances.argmin(axis=1)
    mutual = distances.argmin(axis=0)[nearest] == rows
    first = distances[rows, nearest]
    distances[rows, nearest] = np.inf
    keep = mutual & (first < _RATIO**2 * distances.min(axis=1))
    return rows[keep], nearest[keep]


def _sample_homography(source: F64, target: F64, tolerance: float) -> F64 | None:
    found = cv2.findHomography(source, target, cv2.USAC_MAGSAC, tolerance, maxIters=3000, confidence=0.9999)
    return cast("F64 | None", found[0])


def _simplest(matrix: F64, source: F64, target: F64, tolerance: float) -> F64:
    """The least free map that keeps nearly all close inliers of `matrix`, refitted to them."""
    inside = _errors(matrix, source, target) < tolerance
    if inside.sum() < 4:
        return matrix
    close = tolerance / 2
    refined = cast("F64 | None", cv2.findHomography(source[inside], target[inside], 0)[0])
    if refined is not None:
        matrix = max(refined, matrix, key=lambda m: int((_errors(m, source, target) < close).sum()))
    wanted = 0.95 * (_errors(matrix, source, target) < close).sum()
    for fit in (_fit_similarity, _fit_affine):
        simple = fit(source[inside], target[inside])
        for _ in range(2):
            near = _errors(simple, source, target) < tolerance
            if near.sum() >= MIN_INLIERS:
                simple = fit(source[near], target[near])
        if (_errors(simple, source, target) < close).sum() >= wanted:
            return simple
    return matrix


def _fit_similarity(source: F64, target: F64) -> F64:
    """Least squares rotation, scale and shift, as one complex factor and one complex sum."""
    s, t = source @ (1, 1j), target @ (1, 1j)
    spread = s - s.mean()
    factor = np.vdot(spread, t - t.mean()) / max(np.vdot(spread, spread).real, 1e-12)
    shift = t.mean() - factor * s.mean()
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag], [0, 0, 1]])


def _fit_affine(source: F64, target: F64) -> F64:
    ones = np.ones((len(source), 1))
    solution = np.linalg.lstsq(np.hstack([source, ones]), target, rcond=None)[0]
    return np.vstack([solution.T, [0.0, 0.0, 1.0]])


def _errors(matrix: F64, source: F64, target: F64) -> F64:
    """[N] distances between mapped source and target; infinite behind the horizon."""
    mapped = np.hstack([source, np.ones((len(source), 1))]) @ matrix.T
    ahead = mapped[:, 2] * np.sign(matrix[2, 2]) > 1e-9
    depth = np.where(ahead, mapped[:, 2], 1.0)
    distance = np.hypot(*(mapped[:, :2] / depth[:, None] - target).T)
    result: F64 = np.where(ahead, distance, np.inf)
    return result


def _plausible(matrix: F64, width: int, height: int) -> bool:
    """Whether an edit could do this to a picture: no fold, no horizon in it, bounded scale and slant."""
    if abs(matrix[2, 2]) < 1e-9:
        return False
    matrix = matrix / matrix[2, 2]
    places = np.vstack([_corners(width, height), [[(width - 1) / 2, (height - 1) / 2]]])
    scales = []
    for place in places:
        x, y, w = matrix @ (*place, 1.0)
        if w <= 1e-6:
            return False
        jacobian = (matrix[:2, :2] - np.outer((x / w, y / w), matrix[2, :2])) / w
        large, small = np.linalg.svd(jacobian, compute_uv=False)
        if np.linalg.det(jacobian) <= 0 or large > _MAX_STRETCH * small:
            return False
        scales.append(float(np.sqrt(large * small)))
    return min(scales) >= 1 / _MAX_SCALE and max(scales) <= _MAX_SCALE and max(scales) <= _MAX_PERSPECTIVE * min(scales)


def _overlaps(matrix: F64, query: tuple[int, int], reference: tuple[int, int]) -> tuple[float, float]:
    """Common area as fractions of the query and of the reference; sizes are (width, height)."""
    inside, outline = _common(matrix, query, reference)
    if len(inside) < 3:
        return 0.0, 0.0
    return (
        min(1.0, _area(outline) / (query[0] * query[1])),
        min(1.0, _area(inside) / (reference[0] * reference[1])),
    )


def _common(matrix: F64, query: tuple[int, int], reference: tuple[int, int]) -> tuple[F64, F64]:
    """Outline [N,2] of the common area in the reference, and the same in the query; fewer than 3 points: none."""
    width, height = reference
    polygon = _project(matrix, _corners(*query))
    for axis, low, high in ((0, -0.5, width - 0.5), (1, -0.5, height - 0.5)):
        polygon = _clip(_clip(polygon, axis, low, 1), axis, high, -1)
    return polygon, _project(np.linalg.inv(matrix).astype(np.float64), polygon)


def _clip(polygon: F64, axis: int, bound: float, sign: int) -> F64:
    """Part of a convex polygon where sign * (coordinate - bound) >= 0 (Sutherland and Hodgman 1974)."""
    kept: list[F64] = []
    for here, there in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        a, b = sign * (here[axis] - bound), sign * (there[axis] - bound)
        if a >= 0:
            kept.append(here)
        if (a >= 0) != (b >= 0):
            kept.append(here + (there - here) * (a / (a - b)))
    return np.array(kept).reshape(-1, 2)


def _area(polygon: F64) -> float:
    x, y = polygon.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def _similarity(query: Grey, reference: Grey, matrix: F64) -> float:
    """ZNCC of grey values in the overlap, on the reference's frame reduced to `_COMPARE_SIDE`."""
    height, width = reference.shape
    scale = min(1.0, _COMPARE_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = resized(reference, size)
    warped, mask = warp(query, resize_map(size[0] / width, size[1] / height) @ matrix, size)
    a, b = warped[mask], small[mask]
    # Less than one grey level of deviation on either side is a flat area: correlation means nothing there.
    if len(a) < 2 or min(a.std(), b.std()) < 1:
        return 0.0
    return correlation(a, b)


def correlation(one: npt.NDArray[np.generic], other: npt.NDArray[np.generic]) -> float:
    """Return the zero-mean normalised cross-correlation of equal numbers of values, -1..1; 0 where one is constant."""
    a, b = one.astype(np.float64).ravel(), other.astype(np.float64).ravel()
    a, b = a - a.mean(), b - b.mean()
    energy = float(np.sqrt((a @ a) * (b @ b)))
    return float(np.clip(a @ b / energy, -1.0, 1.0)) if energy > 1e-6 else 0.0


def warp(picture: RGB, matrix: F64, size: tuple[int, int]) -> tuple[RGB, Mask]:
    """Draw a `picture` ([H,W] or [H,W,3]) through `matrix` on a frame of (width, height), with its mask."""
    height, width = picture.shape[:2]
    centre = matrix @ ((width - 1) / 2, (height - 1) / 2, 1.0)
    scale = float(np.sqrt(abs(np.linalg.det(matrix) / centre[2] ** 3)))
    if scale < 0.75:
        # Reduced first by area, since sampling alone would alias.
        small = max(1, round(width * scale)), max(1, round(height * scale))
        picture = resized(picture, small)
        matrix = matrix @ np.linalg.inv(resize_map(small[0] / width, small[1] / height))
    warped = cv2.warpPerspective(picture, matrix, size, flags=cv2.INTER_LINEAR)
    full = np.full(picture.shape[:2], 255, np.uint8)
    mask = np.asarray(cv2.warpPerspective(full, matrix, size, flags=cv2.INTER_LINEAR)) == 255
    return warped.astype(np.uint8, copy=False), mask


def grey_of(picture: RGB) -> Grey:
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)


def resized(picture: RGB, size: tuple[int, int]) -> RGB:
    """`picture` at `size` (width, height): averaged by area when reduced, cubic when enlarged."""
    if size == picture.shape[1::-1]:
        return picture
    interpolation = cv2.INTER_AREA if size[0] <= picture.shape[1] else cv2.INTER_CUBIC
    return cv2.resize(picture, size, interpolation=interpolation).astype(np.uint8, copy=False)


def resize_map(x: float, y: float) -> F64:
    """[3,3] map of pixel centres when a picture is resized by factors x and y."""
    return np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]])


def _corners(width: int, height: int) -> F64:
    right, bottom = width - 0.5, height - 0.5
    return np.array([[-0.5, -0.5], [right, -0.5], [right, bottom], [-0.5, bottom]])


def _project(matrix: F64, points: F64) -> F64:
    mapped = np.hstack([points, np.ones((len(points), 1))]) @ matrix.T
    result: F64 = mapped[:, :2] / mapped[:, 2:]
    return result
