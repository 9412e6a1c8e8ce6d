"""A site's own settings, but for parameters of private catalogues that take milliseconds and protect nothing."""

from webapp.settings import *  # noqa: F403

PRIVATE_SCHEME = "toy-bgv-v1-{bits}"
