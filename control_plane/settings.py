"""What the control plane reads from its environment, and how Django is set up.

Importing this does no I/O and needs no variable, so that linters and migrations can; what must be given for use is
refused by `core/checks.py` when a process starts.
"""

from typing import Any, Final
from urllib.parse import unquote, urlsplit

from shared.env import Env
from shared.hosts import trusted_hosts

env = Env("control_plane.settings")


def _database(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")) or "gatehouse",
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {"connect_timeout": 5},
    }


DATABASE_URL = env.text(
    "DATABASE_URL",
    "postgresql://gatehouse@127.0.0.1:5432/gatehouse",
    "PostgreSQL of the control plane: postgresql://user:password@host:port/database.",
    secret=True,
)
REDIS_URL = env.text(
    "REDIS_URL", "redis://127.0.0.1:6379/0", "Redis or Valkey: the broker of background tasks.", secret=True
)
SECRET_KEY = env.text("GATEHOUSE_SECRET_KEY", "", "Signs sessions and forms; at least 32 characters.", secret=True)
FERNET_KEYS = env.words(
    "GATEHOUSE_FERNET_KEYS",
    "",
    "Keys that encrypt provider credentials, comma-separated: the first encrypts, all decrypt.",
)
SIGNING_DIR = env.path("GATEHOUSE_SIGNING_DIR", ".gatehouse/signing", "Folder of the keys that sign bundles.")
PUBLIC_URL = env.text(
    "GATEHOUSE_PUBLIC_URL", "http://127.0.0.1:8000", "Address at which people reach the control plane."
).rstrip("/")
GATEWAY_URL = env.text(
    "GATEHOUSE_GATEWAY_URL", "http://127.0.0.1:8787", "Address at which callers reach a gateway."
).rstrip("/")
EDGE_HOST = env.text("GATEHOUSE_EDGE_HOST", "127.0.0.1", "Address that the process for gateways listens on.")
EDGE_PORT = env.integer("GATEHOUSE_EDGE_PORT", 8001, "Port of what gateways call.", least=1, most=65535)
ENVIRONMENT = env.text(
    "GATEHOUSE_ENVIRONMENT", "production", "`development` trusts this machine as a custom host; all else is production."
)
TRUSTED_CUSTOM_HOSTS = trusted_hosts(
    env.text(
        "TRUSTED_CUSTOM_HOSTS",
        "",
        "Private hosts that may be providers, comma-separated; unset, this machine in development and none otherwise.",
    )
    or None,
    production=ENVIRONMENT != "development",
)
TRUSTED_PROXIES = env.networks(
    "GATEHOUSE_TRUSTED_PROXIES",
    "Networks of proxies and gateways before this process, whose x-forwarded-for names the caller; comma-separated, "
    "such as 10.0.0.0/8.",
)
DNS_SERVERS = env.words(
    "GATEHOUSE_DNS_SERVERS", "", "Name servers, address or address:port, that verify domains; unset, the system's."
)
MAIL_URL = env.text(
    "GATEHOUSE_MAIL_URL",
    "",
    "Mail server: smtp+tls://user:password@host:587 (STARTTLS), smtps://... (TLS), smtp://... (plain); unset, none.",
    secret=True,
)
DEFAULT_FROM_EMAIL = env.text("GATEHOUSE_MAIL_FROM", "gatehouse@localhost", "Sender of e-mails.")
DEBUG = env.boolean("GATEHOUSE_DEBUG", default=False, meaning="Django's debug pages; never in production.")
LOG_LEVEL = env.text("GATEHOUSE_LOG_LEVEL", "info", "Least severe log event: debug, info, warning or error.")

_PUBLIC: Final = urlsplit(PUBLIC_URL)
_IS_HTTPS: Final = _PUBLIC.scheme == "https"

ALLOWED_HOSTS = [
    *env.words(
        "GATEHOUSE_ALLOWED_HOSTS",
        "localhost,127.0.0.1,[::1]",
        "Host names by which the control plane may be called; that of its public address is always one.",
    ),
    *([_PUBLIC.hostname] if _PUBLIC.hostname else []),
]

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "csp",
    "control_plane.core",
    "control_plane.budgets",
    "control_plane.accounts",
    "control_plane.orgs",
    "control_plane.vault",
    "control_plane.catalog",
    "control_plane.policies",
    "control_plane.configs",
    "control_plane.prompts",
    "control_plane.keys",
    "control_plane.logs",
    "control_plane.ledger",
    "control_plane.alerts",
    "control_plane.explain",
    "control_plane.gateways",
    "control_plane.ui",
]

MIDDLEWARE = [
    "control_plane.core.middleware.RequestIds",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "control_plane.accounts.middleware.SignIns",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "control_plane.urls"
WSGI_APPLICATION = "control_plane.wsgi.application"
APPEND_SLASH = False
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": _database(DATABASE_URL)}

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

AUTH_USER_MODEL = "accounts.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "/login"
LOGIN_REDIRECT_URL = "/"

SESSION_COOKIE_AGE = 14 * 24 * 3600
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = _IS_HTTPS
CSRF_COOKIE_SECURE = _IS_HTTPS
CSRF_COOKIE_SAMESITE = "Lax"
# Behind a proxy that ends TLS, Django sees http; forms sent from the public address are ours all the same.
CSRF_TRUSTED_ORIGINS = [f"{_PUBLIC.scheme}://{_PUBLIC.netloc}"]
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}

_MAIL: Final = urlsplit(MAIL_URL)
EMAIL_HOST = _MAIL.hostname or ""
EMAIL_PORT = _MAIL.port or {"smtps": 465, "smtp+tls": 587}.get(_MAIL.scheme, 25)
EMAIL_HOST_USER = unquote(_MAIL.username or "")
EMAIL_HOST_PASSWORD = unquote(_MAIL.password or "")
EMAIL_USE_TLS = _MAIL.scheme == "smtp+tls"
EMAIL_USE_SSL = _MAIL.scheme == "smtps"
EMAIL_TIMEOUT = 10

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False

STATIC_URL = "/static/"
# Files are few and found at start: no collecting step stands between a checkout and a running control plane.
WHITENOISE_USE_FINDERS = True

# Every process says itself, with `shared.logs.configure`, when it is one that logs.
LOGGING_CONFIG = None

DATA_UPLOAD_MAX_MEMORY_SIZE = 4 * 1024 * 1024

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "control_plane.keys.authentication.ApiKeyAuthentication",
        "control_plane.orgs.authentication.SignedInAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["control_plane.core.permissions.HasScope"],
    "DEFAULT_PARSER_CLASSES": ["control_plane.core.parsers.StrictJsonParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "control_plane.core.parsers.AlwaysJson",
    "DEFAULT_PAGINATION_CLASS": "control_plane.core.pagination.ListPagination",
    "DEFAULT_METADATA_CLASS": None,
    "EXCEPTION_HANDLER": "control_plane.core.errors.answer_exception",
    "UNAUTHENTICATED_USER": None,
    "UNAUTHENTICATED_TOKEN": None,
    "COERCE_DECIMAL_TO_STRING": False,
}
