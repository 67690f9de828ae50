"""Session ids."""

from __future__ import annotations

import pytest

from sessions_unified.ids import SESSION_ID, is_session_id, mint_session_id


def test_r26_ids_have_the_legacy_shape_and_128_random_bits() -> None:
    minted = {mint_session_id(1795132800000) for _ in range(1000)}

    assert len(minted) == 1000
    for session_id in minted:
        head, stamp, random = session_id.split("_")
        assert (head, int(stamp, 36)) == ("ws", 1795132800000)
        assert len(random) == 25
        assert SESSION_ID.fullmatch(session_id)


@pytest.mark.parametrize("old", ["ws_mwo5wwds_2", "ws_mwnjusj0_ah2mb9bdd"])
def test_old_ids_pass_the_same_door(old: str) -> None:
    assert is_session_id(old)


@pytest.mark.parametrize(
    "bad", ["", "ws_", "ws__a", "ws_A_b", "ws_a_b_c", "xs_a_b", "ws_a_b\n", "ws_a_" + "b" * 41]
)
def test_other_strings_do_not(bad: str) -> None:
    assert not is_session_id(bad)
