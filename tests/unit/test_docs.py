"""The documentation says what the code does: generated blocks, names, codes, links."""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from django.apps import apps
from django.urls import reverse
from django.utils.module_loading import import_string
from rest_framework import exceptions as drf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
APPS = ("sessions_unified", "funnel", "legacy_adapters")


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


generate = load_generator()
DOCUMENTS = generate.documents()


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def code_of(*folders: str) -> Iterator[str]:
    for folder in folders:
        path = ROOT / folder
        files = [path] if path.is_file() else sorted(path.rglob("*.py"))
        yield from (file.read_text(encoding="utf-8") for file in files)


def first_cells(text: str) -> list[str]:
    """Return the backticked first cells of the tables' rows."""
    return re.findall(r"^\| `([^`]+)`", text, re.MULTILINE)


# Generated blocks


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_generated_blocks_are_up_to_date(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    assert generate.rewritten(text, path) == text, "run: .venv/bin/python docs/generate.py"


@pytest.mark.parametrize("document", ["README.md", "docs/reference/settings.md"])
def test_every_variable_of_the_site_is_listed(document: str) -> None:
    names = re.findall(
        r'(?:env\.\w+|_required)\(\s*"([A-Z_]+)"',
        "".join(code_of("funnel/settings.py", "funnel/legacy_settings.py")),
    )

    assert "SECRET_KEY" in names
    assert "DATABASE_URL" in names
    assert set(names) <= set(first_cells(read(document)))


def test_every_command_is_documented() -> None:
    blocks = set(generate.blocks(read("docs/reference/commands.md")))

    assert blocks == {f"command {name}" for name in generate.commands()}


def test_every_make_target_is_documented() -> None:
    phony = re.search(r"^\.PHONY: (.*)$", read("Makefile"), re.MULTILINE)
    assert phony is not None
    documented = set(re.findall(r"`make ([a-z-]+)`", read("docs/reference/commands.md")))

    assert set(phony[1].split()) - {"help"} == documented


# Lists written by hand


def expected_codes() -> dict[str, int]:
    """Return code → status of every problem that the API can answer with."""
    from funnel.api import views as funnel_views
    from sessions_unified.api import problems

    tables = [*problems.STATUSES.items(), *funnel_views._STATUSES.items()]
    found = {kind.code: status for kind, status in tables}
    del found["invalid_link"]  # of the storefront's page, never of the API
    source = "\n".join(code_of("sessions_unified/api", "funnel/api", "funnel/views.py"))
    calls = r'\b(?:Problem|_problem|_error)\((?:request, )?(\d{3}), "(\w+)"'
    found |= {code: int(status) for status, code in re.findall(calls, source)}
    for kind in (
        *(drf.ParseError, drf.NotAuthenticated, drf.PermissionDenied, drf.MethodNotAllowed),
        *(drf.NotAcceptable, drf.UnsupportedMediaType),
    ):
        found[kind.default_code] = kind.status_code
    return found | {
        "invalid_request": 400,
        "not_found": 404,
        "payment_declined": 402,
        "payment_rejected": 402,
    }


def documented_codes() -> dict[str, int]:
    rows = re.findall(r"^\| `(\w+)` \| (\d{3}) \|", read("docs/reference/errors.md"), re.MULTILINE)
    return {code: int(status) for code, status in rows}


def test_every_problem_is_documented_with_its_status() -> None:
    documented = documented_codes()

    assert expected_codes().items() <= documented.items()


def test_every_documented_code_is_one_of_the_code() -> None:
    source = "\n".join(code_of(*APPS))
    of_drf = {kind.default_code for kind in vars(drf).values() if hasattr(kind, "default_code")}

    unknown = {code for code in documented_codes() if f'"{code}"' not in source} - of_drf

    assert unknown == set()


def test_every_code_that_a_view_names_is_documented() -> None:
    source = "\n".join(
        code_of("sessions_unified/api", "funnel/api", "funnel/views.py", "funnel/payments")
    )
    patterns = r'(?:default_code = |code=|code, detail = |    )"([a-z]+(?:_[a-z]+)+)",?$'
    # What begins with a digit is a code of NMI's, not of a problem.
    named = set(re.findall(r'(?:default_code = |\bcode=)"([a-z]\w*)"', source))
    named |= set(re.findall(r'code, detail = "(\w+)"', source))
    named |= {code for code in re.findall(patterns, source, re.MULTILINE) if "payment_" in code}

    assert named
    assert named <= set(documented_codes())


def test_every_exception_is_documented() -> None:
    source = read("sessions_unified/exceptions.py")
    classes = set(re.findall(r"^class (\w+Error)\(", source, re.MULTILINE))
    text = read("docs/reference/errors.md").partition("## In Python")[2]

    documented = set(first_cells(text))

    assert classes - {"SessionsUnifiedError"} == documented


def test_every_check_is_documented() -> None:
    ids = set(re.findall(r'id="([\w.]+\.[EW]\d{3})"', "\n".join(code_of(*APPS))))

    assert ids == set(first_cells(read("docs/reference/checks.md")))


def test_every_kind_of_event_is_documented() -> None:
    from funnel.payments.models import ChargeAttempt

    source = "\n".join(code_of("sessions_unified", "funnel", "legacy_adapters"))
    source = re.sub(r'"""".*?"""', "", source)
    kinds = set(re.findall(r'\bkind(?:: str)? ?= ?"(\w+)"', source))
    kinds |= set(re.findall(r'kind = "(\w+)" if .* else "(\w+)"', source)[0])
    kinds |= set(re.findall(r"'(session_\w+)'", source))
    kinds |= set(re.findall(r'"((?:charge|upsell)_\w+)" if ', source))
    kinds |= set(re.findall(r' else "((?:charge|upsell|session)_\w+)"', source))
    noted = (ChargeAttempt.State.UNKNOWN, "needs_review", "surplus")
    kinds |= {f"charge_{state}" for state in noted}
    text = read("docs/reference/events.md").partition("## Kinds")[2].partition("## Reading")[0]

    documented = set(first_cells(text))

    assert documented == {
        kind for kind in kinds if kind.startswith(("session_", "charge_", "upsell_"))
    }


@pytest.mark.parametrize(
    "model",
    [model for app in APPS for model in apps.get_app_config(app).get_models()],
    ids=lambda model: model._meta.db_table,
)
def test_every_column_is_documented(model: type) -> None:
    meta = model._meta  # type: ignore[attr-defined]
    sections = re.split(r"^### ", read("docs/reference/storage.md"), flags=re.MULTILINE)

    section = next(each for each in sections if each.startswith(f"`{meta.db_table}`"))

    missing = {each.name for each in meta.get_fields() if each.concrete} - set(
        re.findall(r"`(\w+)`", section)
    )
    assert missing == set()


def test_every_call_of_the_api_is_documented() -> None:
    from drf_spectacular.generators import SchemaGenerator

    paths = SchemaGenerator().get_schema(request=None, public=True)["paths"]
    calls = {
        f"{method.upper()} {path.replace('{session_id}', '{id}')}"
        for path, methods in paths.items()
        for method in methods
    }

    documented = re.findall(r"^## `(\w+ /api/.*)`$", read("docs/reference/api.md"), re.MULTILINE)

    assert calls == set(documented)
    assert reverse("docs") == "/api/docs"


def test_the_changelog_opens_with_what_is_not_released() -> None:
    headings = re.findall(r"^## (.*)$", read("docs/changelog.md"), re.MULTILINE)

    assert headings[0] == "Unreleased"


# Links and pictures


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def slugs(path: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub and MyST make them."""
    headings = re.findall(
        r"^#+ (.*)$", without_code(path.read_text(encoding="utf-8")), re.MULTILINE
    )
    return {
        re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).replace(" ", "-")
        for heading in headings
    }


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    text = without_code(path.read_text(encoding="utf-8"))

    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        file, _, anchor = target.partition("#")
        linked = (path.parent / file).resolve() if file else path
        assert linked.is_file(), target
        assert not anchor or anchor in slugs(linked), target


def test_every_page_is_in_the_table_of_contents() -> None:
    listed = set(re.findall(r"^((?:[\w-]+/)?[\w-]+)$", read("docs/index.md"), re.MULTILINE))
    pages = {str(path.relative_to(DOCS).with_suffix("")) for path in DOCS.rglob("*.md")}

    assert pages - {"index"} == listed


@pytest.mark.parametrize("path", sorted((DOCS / "images").glob("*.svg")), ids=name_of)
def test_a_picture_is_whole_and_says_what_it_shows(path: Path) -> None:
    tree = ET.fromstring(path.read_text(encoding="utf-8"))
    svg = "{http://www.w3.org/2000/svg}"

    assert tree.get("role") == "img"
    assert tree.findtext(f"{svg}title")
    assert tree.findtext(f"{svg}desc")
    assert "prefers-color-scheme: dark" in (tree.findtext(f"{svg}style") or "")


# What else the pages name


def test_the_compose_file_takes_what_the_deployment_page_says() -> None:
    compose = read("compose.yaml")
    page = read("docs/howto/deploy.md")

    services = yaml.safe_load(compose)["services"]

    assert {"web", "worker", "beat", "migrate"} <= set(services)
    for name in re.findall(r"\$\{([A-Z_]+):\?", compose):
        assert name in page, name
    for name in re.findall(r"^\| `([A-Z_]+)`", page, re.MULTILINE):
        assert name in generate.ENVIRONMENT, name


def _adapter_options() -> set[str]:
    from legacy_adapters.conf import get_sources

    adapters = (import_string(each.adapter) for each in get_sources().values())
    return {name for adapter in adapters for name in inspect.signature(adapter).parameters}


def test_settings_that_pages_name_exist() -> None:
    from django.conf import global_settings

    from funnel.conf import Conf as FunnelConf
    from funnel.payments.nmi.conf import NmiConf
    from legacy_adapters.migration.conf import KNOWN_KEYS as MIGRATION_KEYS
    from sessions_unified.conf import KNOWN_KEYS

    known = {
        *KNOWN_KEYS,
        *MIGRATION_KEYS,
        *FunnelConf.__annotations__,
        *NmiConf.__annotations__,
        *generate.ENVIRONMENT,
        *dir(global_settings),
    }
    known |= {"SESSIONS_UNIFIED", "LEGACY_ADAPTERS", "MIGRATION", "CONTENT_SECURITY_POLICY"}
    known |= {"FUNNEL_LOCAL_DIR", "POSTGRES_PASSWORD", "REDIS_PASSWORD"}  # of make and compose
    known |= {option.upper() for option in _adapter_options()}
    known |= {"PIP_INDEX_URL", "SESSION_KEY"}  # a reader's own

    for path in DOCUMENTS:
        text = without_code(path.read_text(encoding="utf-8"))
        named = set(re.findall(r"`([A-Z]+_[A-Z_]+)`", text))
        assert named <= known, (path, named - known)


@pytest.mark.parametrize("document", ["README.md", "docs/quickstart.md"])
def test_the_sample_shop_is_as_large_as_the_pages_say(document: str) -> None:
    rows = read("legacy_adapters/sample_world/database.sql").count("INSERT INTO")

    assert f"{rows} sessions" in read(document)
