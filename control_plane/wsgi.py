"""The WSGI application that gunicorn serves: pages and Admin API."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "control_plane.settings")

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from control_plane.core.checks import refuse_unusable_settings
from shared.logs import configure

configure(settings.LOG_LEVEL)
refuse_unusable_settings()
application = get_wsgi_application()
