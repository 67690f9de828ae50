"""The rules of a merge as data, one for each field of a session; the docs are made from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from legacy_adapters.merging import answers, order, person, progress, references, times
from legacy_adapters.merging.rule import Contradiction, Rule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from legacy_adapters.merging.copies import Copies


_A_PERSON: Final = "a person decides"


def _always(_: Copies) -> bool:
    return True


def _never(_: Copies) -> bool:
    return False


def _other(claimed: Any, known: Any) -> bool:
    return bool(claimed) and claimed != known


RULES: Final[Mapping[str, Rule]] = {
    "id": Rule(
        name="same",
        text="The same in every copy, or they are not copies of one session.",
        value=lambda copies: copies.believed[0].session.id,
    ),
    "email": Rule(
        name="must_agree",
        text="The most trusted. Trusted copies must agree, after NFC and whatever the case.",
        value=references.email,
        contradiction=Contradiction(
            is_met=references.is_email_contradicted, blocks=_always, text=_A_PERSON
        ),
        claims=lambda claimed, known: (
            bool(claimed) and references.plain_email(claimed) != references.plain_email(known)
        ),
    ),
    "status": Rule(
        name="furthest",
        text=(
            "The furthest of pending, processing, completed. Failed and expired only where the "
            "most trusted copy says so and no other knows of a payment or a completed order; a "
            "paid one is never expired."
        ),
        value=progress.status,
        claims=progress.claims_status,
    ),
    "current_step": Rule(
        name="furthest",
        text="The furthest step of the flow.",
        value=progress.step,
        claims=progress.claims_step,
    ),
    "upsells": Rule(
        name="proof_or_declined",
        text=(
            "Every answer. For an offer both accepted and declined, accepted where a transaction "
            "proves it, else declined."
        ),
        value=answers.upsells,
        contradiction=Contradiction(
            is_met=lambda copies: bool(answers.contradictory(copies)),
            blocks=_never,
            text="the rule decides; on record",
        ),
        claims=answers.claims,
    ),
    "transaction_id": Rule(
        name="must_agree",
        text="The most trusted. Trusted copies must agree.",
        value=references.transaction_id,
        contradiction=Contradiction(
            is_met=references.is_transaction_contradicted, blocks=_always, text=_A_PERSON
        ),
        claims=_other,
    ),
    "vault_id": Rule(
        name="newest_update",
        text=(
            "The most trusted. Where trusted copies differ, the one with the newest "
            "`lastVaultUpdate`; without one, a person decides."
        ),
        value=references.vault_id,
        contradiction=Contradiction(
            is_met=references.is_vault_contradicted,
            blocks=references.is_vault_undecided,
            text="the newest update decides, on record; else a person",
        ),
        claims=_other,
    ),
    "payment_token": Rule(
        name="while_pending",
        text="The most trusted, while the session is pending; then none.",
        value=references.payment_token,
    ),
    "products": Rule(
        name="most_trusted",
        text="The most trusted copy's that has any; a browser's, without prices, as a last resort.",
        value=order.products,
        claims=order.claims_products,
    ),
    "amount": Rule(
        name="of_the_products",
        text="The sum of the copy whose products they are; without products the most trusted sum.",
        value=order.amount,
        claims=order.claims_amount,
    ),
    "currency": Rule(
        name="of_the_products",
        text="The currency of that sum.",
        value=order.currency,
    ),
    "customer": Rule(
        name="newest_by_key",
        text=(
            "Key by key the newest trusted value that is not empty, then a browser's for what no "
            "trusted copy has."
        ),
        value=person.customer,
    ),
    "metadata": Rule(
        name="by_store",
        text=(
            "The most trusted copy's own keys; under `legacy` what each store keeps, by its own "
            "word first."
        ),
        value=person.metadata,
    ),
    "created_at": Rule(
        name="earliest",
        text="The earliest trusted.",
        value=times.created_at,
        claims=times.claims_birth,
    ),
    "updated_at": Rule(
        name="latest",
        text="The latest trusted.",
        value=times.updated_at,
    ),
    "expires_at": Rule(
        name="latest_within_limit",
        text=(
            "The latest trusted, within the absolute limit; a later one that staff set here, or a "
            "receipt's, stays."
        ),
        value=times.expires_at,
    ),
    "version": Rule(
        name="ours",
        text="Our own row's; a new session begins at 1.",
        value=times.version,
    ),
}
