"""A site's own settings, but for what takes long and proves no more: parameters of private catalogues that take
milliseconds and protect nothing, and drafts of a third of the work."""

from provenance.artwork.recipe import PRESETS, Preset
from webapp.settings import *  # noqa: F403

PRIVATE_SCHEME = "toy-bgv-v1-{bits}"
PRESETS["draft"] = Preset(side=96, iterations=PRESETS["draft"].iterations, crops=4)
