"""With the real library: what it signs opens here, and what is signed here opens there.

Only where Node.js and jose are at hand: JOSE_PATH names jose's folder, or it is installed beside
``tests/samples/jose/make_tokens.mjs``. Nothing is fetched.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time

import pytest

from legacy_adapters.cookie.jws import sign
from tests.legacy_tokens import SAMPLES, SECRET, data, jose

FOLDER = SAMPLES / "jose"


def run(*arguments: str) -> str:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node.js")
    if "JOSE_PATH" not in os.environ and not (FOLDER / "node_modules/jose").is_dir():
        pytest.skip("no jose: set JOSE_PATH to its folder")
    script = [node, str(FOLDER / "make_tokens.mjs"), *arguments]
    return subprocess.run(script, capture_output=True, text=True, check=True, timeout=60).stdout


def test_jose_opens_what_is_signed_here() -> None:
    claims = data(note="Zoë 王 👩‍🚀", iat=int(time.time()), exp=int(time.time()) + 1800)

    found = json.loads(run("verify", sign(claims, SECRET), SECRET))

    assert found == {"payload": claims, "protectedHeader": {"alg": "HS256"}}


def test_the_tokens_kept_here_are_still_what_jose_makes() -> None:
    made = json.loads(run())

    same = {"good", "typed", "noexp", "short_secret", "compromised", "expired", "unsecured", "json"}
    assert {name: made["tokens"][name] for name in same} == {
        name: jose()["tokens"][name] for name in same
    }
