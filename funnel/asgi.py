"""The ASGI application, for streams alone: the API and the pages are faster under WSGI."""

import os

from django.core.asgi import get_asgi_application

from funnel.encodings import Utf8ASGIRequest

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "funnel.settings")

application = get_asgi_application()
application.request_class = Utf8ASGIRequest
