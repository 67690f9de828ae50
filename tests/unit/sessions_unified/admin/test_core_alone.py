"""The core's admin in a project that has nothing else of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from django.db import connection

from sessions_unified.conf import get_conf
from tests.unit.sessions_unified.admin.conftest import make

if TYPE_CHECKING:
    from django.test import Client

# A whole project in one file: no site, no catalogue, no Redis.
PROJECT = """
import sys, types, django
from django.conf import settings
from django.urls import path

host, port, name, user, password, user_id, url, kid, key = sys.argv[1:]
settings.configure(
    SECRET_KEY="x" * 50,
    SESSIONS_UNIFIED={"ENCRYPTION_KEYS": {kid: key}},
    ALLOWED_HOSTS=["testserver"],
    ROOT_URLCONF="project_urls",
    INSTALLED_APPS=["django.contrib.admin", "django.contrib.auth", "sessions_unified",
        "django.contrib.contenttypes", "django.contrib.sessions", "django.contrib.messages",
        "django.contrib.staticfiles"],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware"],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["django.template.context_processors.request",
            "django.contrib.auth.context_processors.auth",
            "django.contrib.messages.context_processors.messages"]}}],
    STATIC_URL="static/",
    USE_TZ=True,
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "HOST": host, "PORT": port,
        "NAME": name, "USER": user, "PASSWORD": password}},
)
django.setup()
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client

urls = types.ModuleType("project_urls")
urls.urlpatterns = [path("admin/", admin.site.urls)]
sys.modules["project_urls"] = urls
call_command("check")
client = Client()
client.force_login(get_user_model().objects.get(pk=user_id))
pages = [client.get("/admin/sessions_unified/unifiedsession/"), client.get(url),
    client.get("/admin/sessions_unified/servicekey/add/")]
print([page.status_code for page in pages], b"not in use here" in pages[1].content)
print(sorted({module.partition(".")[0] for module in sys.modules} & {"funnel", "legacy_adapters"}))
"""


def test_it_needs_no_neighbour(root: Client) -> None:
    from tests.unit.sessions_unified.admin.conftest import page_url

    session = make()
    database = connection.settings_dict
    place = urlsplit(os.environ["DATABASE_URL"])
    arguments = [
        *(str(database["HOST"] or place.hostname or ""), str(database["PORT"] or "")),
        *(database["NAME"], database["USER"], database["PASSWORD"]),
        *(root.session["_auth_user_id"], page_url(session.id)),
        *next(iter(get_conf().ENCRYPTION_KEYS.items())),
    ]

    ran = subprocess.run(
        [sys.executable, "-c", PROJECT, *arguments], capture_output=True, text=True, check=False
    )

    assert ran.returncode == 0, ran.stderr
    *_, pages, neighbours = ran.stdout.splitlines()
    assert pages == "[200, 200, 200] True"
    assert neighbours == "[]"
