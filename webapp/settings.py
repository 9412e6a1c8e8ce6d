"""All settings of the site, read from the environment by readers that refuse a bad value.

Every variable is optional for a site on one machine. With ``DATABASE_URL`` set the site is taken to be in
production: then ``SECRET_KEY`` and ``ALLOWED_HOSTS`` must be given.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _

from webapp.embedded.places import socket_directory
from webapp.env import env_bool, env_database, env_int, env_list, env_secret, env_str, env_url

BASE_DIR = Path(__file__).resolve().parent.parent
VERSION = "0.1.0"


def _kept_secret(path: Path) -> str:
    """Return the secret kept in that file, made at the first start, readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="ascii")
    with os.fdopen(descriptor, "w", encoding="ascii") as handle:
        handle.write(secrets.token_urlsafe(64))
    return path.read_text(encoding="ascii")


# Where the site keeps its files. One folder holds everything that must be backed up beside the database.
DATA_DIR = Path(env_str("PROVENANCE_HOME", str(BASE_DIR / "var"))).resolve()
MEDIA_ROOT = DATA_DIR / "media"

_database = env_database("DATABASE_URL")
EMBEDDED = _database is None
DEBUG = env_bool("DEBUG", False)

_secret = env_secret("SECRET_KEY")
if _secret is None:
    if not EMBEDDED:
        raise ImproperlyConfigured("SECRET_KEY (or SECRET_KEY_FILE) is needed when DATABASE_URL is set.")
    _secret = _kept_secret(DATA_DIR / "secret_key")
SECRET_KEY = _secret
# Earlier keys, newest first: what was signed or sealed with one of them is still read.
SECRET_KEY_FALLBACKS = [key for key in (env_secret("SECRET_KEY_FALLBACKS") or "").split(",") if key]
# What signatures in pictures are vouched for by; SECRET_KEY, and its fallbacks, where it is not given.
SIGNING_KEY = env_secret("SIGNING_KEY", "")
SIGNING_KEY_FALLBACKS = [key for key in (env_secret("SIGNING_KEY_FALLBACKS") or "").split(",") if key]
if any(0 < len(key) < 32 for key in (SIGNING_KEY, *SIGNING_KEY_FALLBACKS)):
    raise ImproperlyConfigured("SIGNING_KEY and each of SIGNING_KEY_FALLBACKS need at least 32 characters.")

ALLOWED_HOSTS = env_list("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"] if EMBEDDED else [])
if not ALLOWED_HOSTS:
    raise ImproperlyConfigured("ALLOWED_HOSTS is needed when DATABASE_URL is set: the site's host names, by comma.")
CSRF_TRUSTED_ORIGINS = env_list("CSRF_TRUSTED_ORIGINS", [])
SITE_URL = env_url("SITE_URL", "http://127.0.0.1:8000")
HTTPS = SITE_URL.startswith("https://")
# How many reverse proxies of our own stand before the site; their X-Forwarded-For entries are believed, no others.
TRUSTED_PROXIES = env_int("TRUSTED_PROXIES", 0, minimum=0, maximum=5)

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "webapp.reviews.admin_config.AdministrationConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "channels",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_q",
    "webapp.accounts",
    "webapp.jobs",
    "webapp.registry",
    "webapp.artworks",
    "webapp.catalogues",
    "webapp.signatures",
    "webapp.checks",
    "webapp.deephash",
    "webapp.private",
    "webapp.reviews",
    "webapp.api",
    "webapp.pages",
]

MIDDLEWARE = [
    "webapp.pages.middleware.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "webapp.api.problems.ProblemMiddleware",
    "webapp.pages.middleware.BodyLimitMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "webapp.pages.middleware.ProductErrorMiddleware",
]

ROOT_URLCONF = "webapp.urls"
ASGI_APPLICATION = "webapp.asgi.application"
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "webapp.pages.context.site",
            ],
        },
    },
]

# --- Database, cache, messages ---

DATABASES: dict[str, dict[str, Any]] = {
    "default": _database
    or {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": str(socket_directory(DATA_DIR)),
        "NAME": "postgres",
        "USER": "postgres",
    }
}
# A restarted server must not fail the next request of every process that kept a connection.
DATABASES["default"].update(CONN_MAX_AGE=60, CONN_HEALTH_CHECKS=True)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = env_secret("REDIS_URL")
CACHES: dict[str, dict[str, Any]] = {
    "default": (
        {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}
        if REDIS_URL
        # One web process serves an embedded site, so that limits counted in its memory are exact.
        else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    )
}
CHANNEL_LAYERS: dict[str, dict[str, Any]] = {
    "default": (
        {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": [REDIS_URL]}}
        if REDIS_URL
        else {"BACKEND": "webapp.jobs.layers.PostgresNotifyLayer"}
    )
}

WORKERS = env_int("WORKERS", max(1, min(8, os.cpu_count() or 1)), minimum=1, maximum=64)
# Between two signs of life of a running job; past it the work is taken to be lost and done again.
JOB_LEASE_SECONDS = env_int("JOB_LEASE_SECONDS", 30, minimum=2, maximum=3600)
Q_CLUSTER: dict[str, Any] = {
    "name": "provenance",
    "workers": WORKERS,
    "timeout": 600,
    # The broker hands a message out again after this long; a job's own lease and claim decide whether it runs.
    "retry": 900,
    "max_attempts": 1,
    "ack_failures": True,
    "poll": 0.2,
    # Messages fetched ahead wait in memory, where a kill loses them until they are sent again.
    "queue_limit": WORKERS,
    "catch_up": False,
    "save_limit": -1,
    "recycle": 500,
    "cpu_affinity": 0,
    **({"redis": REDIS_URL} if REDIS_URL else {"orm": "default"}),
}

# --- People ---

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
# Codes to type, not links: a token never stands in a URL.
ACCOUNT_EMAIL_VERIFICATION_BY_CODE_ENABLED = True
ACCOUNT_EMAIL_VERIFICATION_SUPPORTS_RESEND = True
ACCOUNT_EMAIL_VERIFICATION_SUPPORTS_CHANGE = True
ACCOUNT_PASSWORD_RESET_BY_CODE_ENABLED = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_DEFAULT_HTTP_PROTOCOL = "https" if HTTPS else "http"
LOGIN_URL = reverse_lazy("account_login")
LOGIN_REDIRECT_URL = reverse_lazy("pages:dashboard")
LOGOUT_REDIRECT_URL = reverse_lazy("pages:home")

# --- Mail ---

EMAIL_HOST = env_str("EMAIL_HOST", "")
EMAIL_PORT = env_int("EMAIL_PORT", 587, minimum=1, maximum=65535)
EMAIL_HOST_USER = env_str("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = env_secret("EMAIL_HOST_PASSWORD") or ""
EMAIL_USE_TLS = env_bool("EMAIL_USE_TLS", True)
DEFAULT_FROM_EMAIL = env_str("DEFAULT_FROM_EMAIL", "Provenance <noreply@localhost>")
EMAIL_FILE_PATH = str(DATA_DIR / "mail")
EMAIL_BACKEND = (
    "django.core.mail.backends.smtp.EmailBackend" if EMAIL_HOST else "django.core.mail.backends.filebased.EmailBackend"
)

# --- Limits ---

UPLOAD_MAX_BYTES = env_int("UPLOAD_MAX_BYTES", 30 * 1024**2, minimum=1024)
UPLOAD_MAX_PIXELS = env_int("UPLOAD_MAX_PIXELS", 80_000_000, minimum=10_000)
CHECK_MAX_FILES = env_int("CHECK_MAX_FILES", 10, minimum=1, maximum=100)
CHECKS_PER_HOUR_VISITOR = env_int("CHECKS_PER_HOUR_VISITOR", 120, minimum=1)
CHECKS_PER_HOUR_USER = env_int("CHECKS_PER_HOUR_USER", 600, minimum=1)
REQUESTS_PER_MINUTE_KEY = env_int("REQUESTS_PER_MINUTE_KEY", 600, minimum=1)
REQUESTS_PER_MINUTE_NO_KEY = env_int("REQUESTS_PER_MINUTE_NO_KEY", 60, minimum=1)
CHECKS_PER_HOUR_KEY = env_int("CHECKS_PER_HOUR_KEY", 6000, minimum=1)
CHECK_RETENTION_HOURS = env_int("CHECK_RETENTION_HOURS", 168, minimum=1)
IMPORT_MAX_BYTES = env_int("IMPORT_MAX_BYTES", 4 * 1024**3, minimum=1024)
IMPORT_MAX_ROWS = env_int("IMPORT_MAX_ROWS", 20_000, minimum=1)
IMPORT_MAX_FILES = env_int("IMPORT_MAX_FILES", 500, minimum=1)
IMPORTS_PER_HOUR_USER = env_int("IMPORTS_PER_HOUR_USER", 120, minimum=1)
UNDO_HOURS = env_int("UNDO_HOURS", 72, minimum=1)
SIGNATURE_MAX_BYTES = env_int("SIGNATURE_MAX_BYTES", 200 * 1024**2, minimum=1024, maximum=256 * 1024**2)
ARTWORKS_PER_HOUR = env_int("ARTWORKS_PER_HOUR", 20, minimum=1)
ARTWORK_TRIAL_HOURS = env_int("ARTWORK_TRIAL_HOURS", 24, minimum=1)
# What a killed worker loses at most, and how long others wait while one picture is generated.
ARTWORK_CHECKPOINT_SECONDS = env_int("ARTWORK_CHECKPOINT_SECONDS", 10, minimum=0, maximum=300)
ARTWORK_SLICE_SECONDS = env_int("ARTWORK_SLICE_SECONDS", 120, minimum=1, maximum=480)
WORKER_MEMORY_BYTES = env_int("WORKER_MEMORY_BYTES", 1536 * 1024**2, minimum=256 * 1024**2)
# Of a registry with so many fingerprints each worker process keeps the codes in memory, as far as they fit.
SEARCH_RESIDENT_ROWS = env_int("SEARCH_RESIDENT_ROWS", 50_000, minimum=0)
SEARCH_MEMORY_BYTES = env_int("SEARCH_MEMORY_BYTES", 512 * 1024**2, minimum=0)
# Private catalogues: where their keyholders on this machine are met, and how much of them there may be.
PRIVATE_LOOKUP = env_bool("PRIVATE_LOOKUP", True)
PRIVATE_DIR = DATA_DIR / "private"
# Of this many bits of a code; those that begin with "toy" are for tests and protect nothing.
PRIVATE_SCHEME = "bgv-v1-{bits}"
# Of one person or organisation about one catalogue in 24 hours. About 106 answers are enough to find an entry's hash
# out bit by bit; keep this far below.
PRIVATE_QUESTIONS_PER_DAY = env_int("PRIVATE_QUESTIONS_PER_DAY", 20, minimum=1, maximum=50)
# Of one organisation with those that the person made elsewhere, and of all; deleted ones count until they are purged.
# Each takes the disk that its keys (hundreds of megabytes, at every keyholder) and its content need. Memory does not
# grow with them: a keyholder has the engines of one at a time.
PRIVATE_MAX_CATALOGUES = env_int("PRIVATE_MAX_CATALOGUES", 5, minimum=1)
PRIVATE_MAX_CATALOGUES_SITE = env_int("PRIVATE_MAX_CATALOGUES_SITE", 50, minimum=1)
# The largest block of any scheme has 1.7 GB.
PRIVATE_BLOCK_MAX_BYTES = 2 * 1024**3
# Of the content of one catalogue. Each block is compared in turn, by the site and by every keyholder.
PRIVATE_MAX_BYTES = env_int("PRIVATE_MAX_BYTES", 8 * 1024**3, minimum=1024)
# A picture's bytes may fill a request, and an archive's too; the views hold each to its own limit.
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024**2
DATA_UPLOAD_MAX_NUMBER_FILES = max(CHECK_MAX_FILES, IMPORT_MAX_FILES) + 2
FILE_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024**2
FILE_UPLOAD_TEMP_DIR = None
FILE_UPLOAD_HANDLERS = [
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "webapp.uploads.UnnamedFileUploadHandler",
]

# --- Security ---

CONTENT_SECURITY_POLICY: dict[str, Any] = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "blob:", "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "manifest-src": [SELF],
    }
}
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
CSRF_FAILURE_VIEW = "webapp.pages.views.csrf_failure"
SECURE_SSL_REDIRECT = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz)$"]
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

# --- Files of our own ---

STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "webapp.pages.storage.StaticStorage"},
}

# --- Words and time ---

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True

# --- REST API ---

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["webapp.api.authentication.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["webapp.api.permissions.HasScope"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser", "rest_framework.parsers.MultiPartParser"],
    "DEFAULT_SCHEMA_CLASS": "webapp.api.schema.ApiSchema",
    "EXCEPTION_HANDLER": "webapp.api.problems.handle",
    "UNAUTHENTICATED_USER": None,
    "URL_FORMAT_OVERRIDE": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Provenance API",
    "DESCRIPTION": (
        "Ask whether a picture is registered, add pictures to your catalogues and train hashes on them, have artworks"
        " generated and proved, read signatures in pictures.\n\n"
        "Times are RFC 3339 in UTC. Ids are UUIDs. Lists come in pages: follow `next`. Refusals are problem documents"
        " (RFC 9457) whose `code` is for programs; `/help/errors` explains each. Every answer tells in `RateLimit-*`"
        " what is left of your limit."
    ),
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "TAGS": [
        {"name": "Checks", "description": "Send a picture, watch, read the verdict, fetch the receipt."},
        {"name": "Catalogues", "description": "What your organisation has registered."},
        {"name": "Imports", "description": "What became of the pictures that you added."},
        {"name": "Deep hashes", "description": "Which hash a catalogue uses, training one, looking pictures up."},
        {"name": "Private catalogues", "description": "Catalogues whose hashes nobody can read, and asking them."},
        {"name": "Artworks", "description": "Pictures generated from two keys, and proofs of ownership."},
        {"name": "Signatures", "description": "Signed copies, reading signatures, numbers for generators."},
        {"name": "Key", "description": "What your key may do."},
    ],
    "PATH_CONVERTER_OVERRIDES": {"id": {"type": "string", "format": "uuid"}},
    "ENUM_NAME_OVERRIDES": {
        "ProblemCode": "webapp.api.schema.PROBLEM_CODES",
        "Scope": "webapp.accounts.models.Scope",
        "JobState": "webapp.jobs.models.JobState",
        "StepState": "webapp.api.fields.STEP_STATES",
        "RowState": "webapp.api.imports.ROW_STATES",
        "VerdictCode": "webapp.checks.models.Verdict",
        "EvidenceKind": "webapp.checks.models.EvidenceKind",
        "Outcome": "webapp.checks.models.Outcome",
        "Visibility": "webapp.registry.models.Visibility",
        "PrivatePolicy": "webapp.api.private.POLICIES",
        "PrivateContentState": "webapp.api.private.CONTENT_STATES",
        "SigningState": "webapp.api.signatures.SIGNING_STATES",
        "SignatureStanding": "webapp.api.signatures.STANDINGS",
        "ArtworkMode": "webapp.artworks.models.Mode",
        "DeepHashKind": "webapp.deephash.models.Kind",
        "DeepHashBits": "webapp.deephash.models.Bits",
    },
    "COMPONENT_SPLIT_REQUEST": True,
}

# --- Admin ---

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Provenance",
    "SITE_HEADER": "Provenance",
    "SITE_SUBHEADER": _("Registry and reviews"),
    "SITE_URL": "/",
    "SHOW_HISTORY": True,
    "DASHBOARD_CALLBACK": "webapp.reviews.admin.dashboard",
    "SIDEBAR": {
        "show_search": True,
        "show_all_applications": True,
        "navigation": [
            {
                "title": _("Reviews"),
                "items": [{"title": _("Review queue"), "icon": "compare", "link": reverse_lazy("reviews:queue")}],
            }
        ],
    },
}

# --- Logs: one JSON object a line, with the request's id; bodies, headers and queries are never in them ---

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "webapp.pages.logs.JsonFormatter"}},
    "filters": {"request_id": {"()": "webapp.pages.logs.RequestIdFilter"}},
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "json", "filters": ["request_id"]},
    },
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        "webapp": {
            "level": env_str("LOG_LEVEL", "INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR")),
            "handlers": ["stderr"],
            "propagate": False,
        },
        "django_q": {"level": "WARNING", "handlers": ["stderr"], "propagate": False},
        "django-q": {"level": "WARNING", "handlers": ["stderr"], "propagate": False},
    },
}
