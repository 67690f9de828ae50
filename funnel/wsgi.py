"""The WSGI application: API and pages."""

import gc
import os

from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

from funnel.encodings import Utf8WSGIRequest

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "funnel.settings")

application = get_wsgi_application()
application.request_class = Utf8WSGIRequest

# A WSGI server does not run system checks; a shop with bad keys must not start.
_errors = [each for each in checks.run_checks() if each.is_serious()]
if _errors:
    raise ImproperlyConfigured("\n".join(f"{each.msg} ({each.id}) {each.hint}" for each in _errors))

# All that is loaded by now stays for good, so the cycle collector need not walk through it: on a
# slow machine that pause alone was longer than a request may wait for Redis.
gc.collect()
gc.freeze()
