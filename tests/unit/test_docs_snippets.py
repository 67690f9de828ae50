"""What the pages tell to type works, and prints what they say it prints."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from django.db import connection

from funnel.payments.gateway import Outcome, Sale
from sessions_unified import get_manager
from sessions_unified.exceptions import PricingError
from sessions_unified.flow import COMPLETED, FlowTable
from sessions_unified.keys import READ, create_key
from sessions_unified.manager import UnifiedSessionManager

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
DEMO = "http://127.0.0.1:8000"
NEXT = "--- next ---"
SECONDS = 60

STEP = re.compile(
    r"<!-- run: (?P<name>\w+) -->\n```\w+\n(?P<code>.*?)^```\n"
    r"(?:\n<!-- prints -->\n```text\n(?P<prints>.*?)^```\n)?",
    re.DOTALL | re.MULTILINE,
)


def steps(page: str, name: str) -> list[tuple[str, str]]:
    """Return (code, what it prints) of the page's blocks of that name, in order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = [
        (step["code"], step["prints"] or "") for step in STEP.finditer(text) if step["name"] == name
    ]
    assert found, f"{page} has no blocks of {name}"
    return found


def as_pattern(prints: str) -> str:
    """Return a pattern: ``…`` stands for part of a line, alone for any number of lines."""
    lines = []
    for line in prints.splitlines():
        if line.strip() == "…":
            lines.append(r"(?:.*\n)*?")
        else:
            lines.append(re.escape(line).replace("…", r"[^\n]+") + r"\n")
    return "".join(lines)


def run(argv: list[str], text: str, cwd: Path, **env: str) -> str:
    """Run an interpreter on a program's text and return what it printed."""
    done = subprocess.run(
        argv,
        input=text,
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def check_shell(page: str, name: str, url: str, cwd: Path, **env: str) -> None:
    """Run the page's blocks in one shell and compare each one's output."""
    blocks = steps(page, name)
    code = f"\necho '{NEXT}'\n".join(code for code, _ in blocks).replace(DEMO, url)

    printed = run(["bash", "-eu"], code, cwd, **env).split(f"{NEXT}\n")

    for (_, expected), actual in zip(blocks, printed, strict=True):
        plain = actual.replace("\r\n", "\n")
        assert re.fullmatch(as_pattern(expected), plain), f"{expected}\n--- but:\n{plain}"


@pytest.fixture
def shell() -> None:
    missing = [each for each in ("bash", "curl", "python3") if shutil.which(each) is None]
    if missing:
        pytest.skip(f"this machine has no {', '.join(missing)}")


def test_the_quickstart_walks_the_funnel_with_curl(
    web_server: Callable[..., str], tmp_path: Path, shell: None
) -> None:
    check_shell("docs/quickstart.md", "walk", web_server(), tmp_path)


def test_the_curl_examples_of_the_api_page_work(
    web_server: Callable[..., str], tmp_path: Path, shell: None
) -> None:
    _, text = create_key("docs", [READ])

    check_shell("docs/howto/call-the-api.md", "curl", web_server(), tmp_path, API_KEY=text)


def test_the_python_client_of_the_api_page_works(
    web_server: Callable[..., str], tmp_path: Path
) -> None:
    [(code, prints)] = steps("docs/howto/call-the-api.md", "python")

    printed = run([sys.executable, "-"], code.replace(DEMO, web_server()), tmp_path)

    assert printed == prints


def test_the_javascript_client_of_the_api_page_works(
    web_server: Callable[..., str], tmp_path: Path
) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("this machine has no Node.js (node) to run the JavaScript example")
    [(code, prints)] = steps("docs/howto/call-the-api.md", "javascript")

    script = code.replace(DEMO, web_server())
    printed = run([node, "--input-type=module", "-"], script, tmp_path)

    assert printed == prints


@pytest.mark.django_db(transaction=True)
def test_the_readme_uses_the_manager_rightly() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(from sessions_unified import .*?)```", text, re.DOTALL)
    assert code is not None

    exec(compile(code[1], "README.md", "exec"), {})


# Code that is shown without a run


def block(page: str, beginning: str) -> str:
    """Return the code block that begins so."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(r"```\w+\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return next(code for code in found if code.startswith(beginning))


def run_block(page: str, beginning: str) -> dict[str, Any]:
    """Execute a block of Python and return its names."""
    names: dict[str, Any] = {}
    exec(compile(block(page, beginning), page, "exec"), names)
    return names


def test_the_catalogue_of_the_core_alone_prices_an_order() -> None:
    names = run_block("docs/howto/take-the-core-alone.md", "# shop/prices.py")

    priced = names["price"]([{"id": "TEA", "quantity": 2}, {"id": "CUP", "quantity": 1}])

    assert (priced.amount, priced.currency) == (Decimal("18.00"), "EUR")
    assert priced.lines[0]["name"] == "Tea"
    with pytest.raises(PricingError) as refused:
        names["price"]([{"id": "POT", "quantity": 1}])
    assert refused.value.field == "products[0].id"


def test_the_flow_of_the_core_alone_leads_to_its_end() -> None:
    names = run_block("docs/howto/take-the-core-alone.md", "# shop/flow.py")

    flow = FlowTable(names["moves"]())

    assert flow.steps == ("basket", "paid", "done")
    assert flow.end.status == COMPLETED


def test_every_method_that_the_core_alone_names_exists() -> None:
    page = (ROOT / "docs/howto/take-the-core-alone.md").read_text(encoding="utf-8")

    named = set(re.findall(r"^\| `(\w+)\(", page, re.MULTILINE))

    public = {
        name
        for name in vars(UnifiedSessionManager)
        if not name.startswith("_") and callable(getattr(UnifiedSessionManager, name))
    }
    assert named == public


@pytest.mark.parametrize(
    ("result", "outcome"),
    [("approved", Outcome.SUCCEEDED), ("declined", Outcome.DECLINED), ("?", Outcome.UNKNOWN)],
)
def test_the_gateway_of_the_gateway_page_reads_its_answers(result: str, outcome: Outcome) -> None:
    gateway = run_block("docs/howto/write-a-gateway.md", "# shop/acme.py")["AcmeGateway"]()
    asked: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return httpx2.Response(200, json={"result": result, "transaction": "t-1"})

    transport = httpx2.MockTransport(answer)
    with httpx2.Client(base_url="https://api.acme.example", transport=transport) as client:
        gateway._http.close()
        gateway._http = client
        sale = Sale(order_id="o-1", amount=Decimal("1.50"), currency="USD", vault_id="v-1")
        receipt = gateway.sale(sale)

    assert receipt.outcome is outcome
    assert len(asked) == 1
    assert b'"1.50"' in asked[0].content


@pytest.mark.django_db(transaction=True)
def test_the_query_of_the_events_page_reads_the_log_in_order() -> None:
    manager = get_manager()
    session = manager.create_session(email="ana@example.org")
    manager.update_session(session.id, {"metadata": {"seen": True}})
    query = block("docs/reference/events.md", "SELECT xid")

    with connection.cursor() as cursor:
        cursor.execute(query, {"xid": "0", "position": 0})
        rows = cursor.fetchall()

    assert [(row[2], row[3]) for row in rows if row[2] == session.id] == [
        (session.id, 1),
        (session.id, 2),
    ]
