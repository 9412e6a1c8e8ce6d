"""The site's entry for an ASGI server: pages over HTTP, jobs over a socket."""

import os

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application
from django.urls import path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")
http = get_asgi_application()

from webapp.bodies import BodyLimit  # noqa: E402 - settings and models exist only after the line above
from webapp.jobs.consumers import JobConsumer  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": BodyLimit(http),
        "websocket": AllowedHostsOriginValidator(
            AuthMiddlewareStack(
                URLRouter([path("ws/jobs/<uuid:job_id>/", JobConsumer.as_asgi())])  # type: ignore[list-item, arg-type]
            )
        ),
    }
)
