"""Make the sample catalogue anew: pictures of at most 640 pixels, catalogue.csv, and the table in README.md.

    python sample/build.py

It needs a Debian 12 with ``apt-get`` and ``dpkg`` (no root): the wallpaper packages are downloaded to a temporary
folder, unpacked there and forgotten; the other pictures come from the installed scikit-image.
"""

from __future__ import annotations

import csv
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from provenance.images.decode import decode, encode_jpeg, thumbnail  # noqa: E402

MAX_SIDE = 640
QUALITY = 80
BEGIN, END = "<!-- pictures -->", "<!-- end of pictures -->"

LOMIRI = "https://gitlab.com/ubports/development/core/lomiri-wallpapers"
UKUI = "https://github.com/ukui/ukui-wallpapers"
SKIMAGE = "https://scikit-image.org/docs/stable/api/skimage.data.html"
BY, BY_SA_3, BY_SA_4, ZERO, PUBLIC = "CC-BY-4.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0", "CC0-1.0", "Public domain"
KYLIN = "Ubuntu Kylin community contributors"


class Source(NamedTuple):
    """One picture: where its file lies, and what is said of it in the package's copyright file or documentation."""

    package: str
    file: str
    name: str
    title: str
    creator: str
    licence: str
    url: str


def _lomiri(release: str, file: str, name: str, title: str, creator: str, licence: str) -> Source:
    package = f"lomiri-wallpapers-{release}"
    return Source(package, f"usr/share/backgrounds/{file}.jpg", name, title, creator, licence, LOMIRI)


def _ukui(file: str, name: str, title: str) -> Source:
    return Source("ukui-wallpapers", f"usr/share/backgrounds/{file}", name, title, KYLIN, BY_SA_3, UKUI)


def _skimage(file: str, name: str, title: str, creator: str, licence: str, url: str = SKIMAGE) -> Source:
    return Source("", file, name, title, creator, licence, url)


SOURCES = [
    _lomiri("16.04", "aitzgorri_by_Aitzol_Berasategi", "aitzgorri", "Aitzgorri", "Aitzol Berasategi", BY),
    _lomiri("16.04", "analogpattern_by_Peter_Nerlich", "pattern", "Analogue pattern", "Peter Nerlich", BY_SA_4),
    _lomiri("16.04", "Bridge_by_Sander_Klootwijk", "bridge", "Bridge", "Sander Klootwijk", BY_SA_4),
    _lomiri("16.04", "Dragonfly_by_Bolly", "dragonfly", "Dragonfly", "Bolly", BY_SA_4),
    _lomiri("16.04", "free_by_Peter_Nerlich", "free", "Free", "Peter Nerlich", BY_SA_4),
    _lomiri("16.04", "friends_by_Aitzol_Berasategi", "friends", "Friends", "Aitzol Berasategi", BY),
    _lomiri("16.04", "greentock_by_Peter_Nerlich", "greentock", "Greentock", "Peter Nerlich", BY_SA_4),
    _lomiri("16.04", "life_by_Aitzol_Berasategi", "life", "Life", "Aitzol Berasategi", BY),
    _lomiri("16.04", "picosdeeuropa_by_Aitzol_Berasategi", "picos", "Picos de Europa", "Aitzol Berasategi", BY),
    _lomiri("16.04", "Picture_0B_by_freespace", "fig", "Fig in a bowl", "Trevor “Freespace”", BY),
    _lomiri("16.04", "Picture_1A_by_freespace", "brushes", "Brushes", "Trevor “Freespace”", BY),
    _lomiri("16.04", "seeding_by_Clements_Engelhardt", "seeding", "Seeding", "Clemens Engelhardt", ZERO),
    _lomiri("16.04", "sunset_by_Aitzol_Berasategi", "sunset", "Sunset", "Aitzol Berasategi", BY),
    _lomiri("16.04", "umang_by_Abhishek_Mudgal", "umang", "Umang", "Abhishek Mudgal", BY),
    _lomiri("16.04", "Wine_by_Jakkub_Mede", "wine", "Wine", "Jakub Mede", BY),
    _lomiri("20.04", "Fossa_by_Jasper_Roks", "fossa", "Fossa", "Jasper Roks", BY_SA_3),
    _lomiri("20.04", "Infinite-Sea_by_Aury88", "infinite-sea", "Infinite Sea", "Aury88", BY_SA_3),
    _lomiri("20.04", "Kleiber_by_Lukas_Baubkus", "kleiber", "Kleiber", "Lukas Baubkus", BY_SA_3),
    _lomiri("20.04", "Painting-Colors_by__herobrine7gamer", "painting", "Painting Colors", "HEROBRINE7GAMER", BY_SA_3),
    _ukui("2004default.jpg", "ribbon", "Ribbon"),
    _ukui("calla.png", "calla", "Calla"),
    _ukui("goldfish.png", "goldfish", "Goldfish"),
    _ukui("rhythm.jpg", "rhythm", "Rhythm"),
    _ukui("string.jpg", "string", "String"),
    _ukui("the-mouse.jpg", "mouse", "The mouse"),
    _skimage("astronaut.png", "astronaut", "Eileen Collins", "NASA", PUBLIC, "https://flic.kr/p/r9qvLn"),
    _skimage("brick.png", "brick", "Brick wall", "CC0Textures", ZERO),
    _skimage("camera.png", "camera", "Camera on a tripod", "Lav Varshney", ZERO),
    _skimage("chelsea.png", "chelsea", "Chelsea the cat", "Stefan van der Walt", ZERO),
    _skimage("clock_motion.png", "clock", "Clock in motion", "Stefan van der Walt", PUBLIC),
    _skimage("coffee.png", "coffee", "Cup of coffee", "Rachel Michetti", ZERO),
    _skimage("grass.png", "grass", "Grass", "Linolafett", ZERO),
    _skimage("gravel.png", "gravel", "Gravel", "CC0Textures", ZERO),
    _skimage("hubble_deep_field.jpg", "hubble", "Hubble eXtreme Deep Field", "NASA", PUBLIC),
    _skimage("retina.jpg", "retina", "Human retina", "Mikael Häggström", ZERO),
    _skimage("rocket.jpg", "rocket", "Launch of DSCOVR on a Falcon 9", "SpaceX", PUBLIC),
]


def main() -> None:
    """Write the pictures, the table and the README's list."""
    with tempfile.TemporaryDirectory() as folder:
        unpacked = {name: _unpack(name, Path(folder)) for name in sorted({s.package for s in SOURCES if s.package})}
        for source in SOURCES:
            picture = decode((unpacked.get(source.package, _skimage_folder()) / source.file).read_bytes())
            # JPEG carries nothing but pixels here: no camera data, no places.
            jpeg = encode_jpeg(thumbnail(picture.pixels, MAX_SIDE), QUALITY)
            (HERE / f"{source.name}.jpg").write_bytes(jpeg)
    with (HERE / "catalogue.csv").open("w", encoding="utf-8", newline="") as handle:
        rows = csv.writer(handle)
        rows.writerow(("filename", "title", "creator", "licence", "source_url"))
        rows.writerows((f"{s.name}.jpg", s.title, s.creator, s.licence, s.url) for s in SOURCES)
    readme = HERE / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    lines = ["| picture | title | by | licence | taken from |", "|---|---|---|---|---|"]
    lines += [
        f"| {s.name}.jpg | {s.title} | {s.creator} | {s.licence} | {s.package or 'scikit-image'}: {Path(s.file).name} |"
        for s in SOURCES
    ]
    readme.write_text("\n".join([before + BEGIN, *lines, END]) + rest.partition(END)[2], encoding="utf-8")


def _unpack(package: str, folder: Path) -> Path:
    subprocess.run(["apt-get", "download", package], cwd=folder, check=True)
    (archive,) = folder.glob(f"{package}_*.deb")
    subprocess.run(["dpkg", "-x", archive, folder / package], check=True)
    return folder / package


def _skimage_folder() -> Path:
    found = importlib.util.find_spec("skimage")
    if found is None or found.origin is None:
        raise SystemExit("scikit-image is not installed: run this with the project's Python.")
    return Path(found.origin).parent / "data"


if __name__ == "__main__":
    main()
