"""The page on which staff give money back: what exactly, of which charge, and why."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse

from funnel.admin.base import state_badge
from funnel.admin.reasons import ReasonField
from funnel.exceptions import OutcomeUnsettledError, RefundRefusedError
from funnel.payments.imported import GATEWAY as IMPORTED
from funnel.payments.models import ChargeAttempt
from funnel.payments.refunds import portions
from funnel.payments.refunds.models import Refund
from funnel.payments.refunds.refunding import REFUNDABLE, give_back, new_key
from sessions_unified.admin import formatting
from sessions_unified.admin.base import staff_manager
from sessions_unified.clock import get_clock
from sessions_unified.exceptions import TierUnavailableError
from sessions_unified.models import UnifiedSession
from sessions_unified.money import exponent, quantize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.contrib.auth.models import AnonymousUser, User
    from django.http import HttpRequest, HttpResponse

    from funnel.admin.refunds import RefundAdmin
    from funnel.payments.refunds.portions import Portion

PERMISSION: Final = "funnel.refund_charge"
_REFUND: Final = Refund.Kind.REFUND.value
_VOID: Final = Refund.Kind.VOID.value
_HOW: Final = [
    (_REFUND, "Refund it: money that has been, or will be, settled goes back"),
    (_VOID, "Void it: the charge never settles. Only before the gateway's end of day"),
]


class GiveBackForm(forms.Form):
    """Why, how, and, of one line, how much.

    ``key`` makes a form that is sent twice be done once.
    """

    key = forms.CharField(widget=forms.HiddenInput)
    amount = forms.DecimalField(label="Amount")
    how = forms.ChoiceField(choices=_HOW, widget=forms.RadioSelect, initial=_REFUND, label="How")
    reason = ReasonField(help_text="For the books. The customer does not see it.")

    def __init__(self, data: Any, *, currency: str, line: Portion | None, may_void: bool) -> None:
        super().__init__(data, initial={"key": new_key()})
        if line is None:
            del self.fields["amount"]
        else:
            left = quantize(line.amount, currency)
            self.fields["amount"] = forms.DecimalField(
                label="Amount",
                initial=left,
                max_value=left,
                min_value=Decimal(1).scaleb(-exponent(currency)),
                decimal_places=exponent(currency),
                help_text=f"{currency}, {left} at most.",
            )
        if not may_void:
            del self.fields["how"]


def give_back_url(attempt: ChargeAttempt, line: int | None = None) -> str:
    """Return the address of the page for a charge, or one of its lines."""
    url = reverse("admin:funnel_refund_give_back", args=[attempt.pk])
    return url if line is None else f"{url}?line={line}"


def may_give_back(user: User | AnonymousUser, attempt: ChargeAttempt) -> bool:
    """Tell whether there is something to give back, and this user may."""
    is_known = attempt.state in REFUNDABLE and attempt.gateway != IMPORTED
    return is_known and user.has_perm(PERMISSION)


def give_back_view(refunds: RefundAdmin, request: HttpRequest, attempt_id: int) -> HttpResponse:
    """Ask, and give back.

    Raises:
        PermissionDenied: this user gives nothing back.
        Http404: there is no such charge or line.

    """
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied
    attempt = ChargeAttempt.objects.filter(pk=attempt_id).first()
    if attempt is None or attempt.amount is None:
        raise Http404
    left = portions.left_of(attempt)
    line = _line(request, left)
    form = GiveBackForm(
        request.POST if request.method == "POST" else None,
        currency=attempt.currency,
        line=line,
        may_void=_may_void(attempt, left, line),
    )
    if request.method == "POST" and (_is_repeat(request) or form.is_valid()):
        done = _give_back(refunds, request, attempt, form, line)
        if done:
            return redirect(_back(attempt))
    context = {
        **refunds.admin_site.each_context(request),
        **_context(attempt, left, line),
        "opts": refunds.opts,
        "media": refunds.media,
        "form": form,
        "back": _back(attempt),
    }
    return TemplateResponse(request, "admin/funnel/give_back.html", context)


def _line(request: HttpRequest, left: Sequence[Portion]) -> Portion | None:
    asked = request.GET.get("line")
    if asked is None:
        return None
    found = next((each for each in left if str(each.place) == asked), None)
    if found is None:
        raise Http404
    return found


def _may_void(attempt: ChargeAttempt, left: Sequence[Portion], line: Portion | None) -> bool:
    """Tell whether a void is worth offering: a whole charge of today, as gateways settle daily."""
    is_whole = line is None and portions.total(left) == attempt.amount
    now = get_clock().now()
    return is_whole and attempt.settled_at is not None and attempt.settled_at.date() == now.date()


def _is_repeat(request: HttpRequest) -> bool:
    """Tell whether this form was sent before; the charge may have nothing left for its checks."""
    order_id = f"fr-{request.POST.get('key', '')}"
    return "\0" not in order_id and Refund.objects.filter(gateway_order_id=order_id).exists()


def _give_back(
    refunds: RefundAdmin,
    request: HttpRequest,
    attempt: ChargeAttempt,
    form: GiveBackForm,
    line: Portion | None,
) -> bool:
    """Do it and say what came of it; False: it was refused, and the form says why."""
    if not form.is_valid():
        messages.info(request, "This form was sent before. Its refund is below.")
        return True
    given = form.cleaned_data
    try:
        refund = give_back(
            staff_manager(request),
            attempt.pk,
            reason=given["reason"],
            lines=None if line is None else {line.place: given["amount"]},
            is_void=given.get("how") == _VOID,
            key=given["key"],
        )
    except RefundRefusedError as exc:
        form.add_error(None, str(exc))
        return False
    except (OutcomeUnsettledError, TierUnavailableError):
        messages.warning(
            request,
            "It may have been given back: the database did not take the answer. The gateway is "
            "asked for it. Do not give it back again.",
        )
        return True
    refunds.log_addition(request, refund, _sentence(refund))
    messages.add_message(request, _level(refund), _sentence(refund))
    return True


def _level(refund: Refund) -> int:
    if refund.state == Refund.State.SUCCEEDED:
        return messages.SUCCESS
    return messages.ERROR if refund.state == Refund.State.REFUSED else messages.WARNING


def _sentence(refund: Refund) -> str:
    amount = formatting.money(refund.money, refund.attempt.currency)
    match refund.state:
        case Refund.State.SUCCEEDED:
            return f"Given back: {amount}."
        case Refund.State.REFUSED:
            return f"Not given back: {amount}. The gateway says: {refund.reason or 'no'}."
        case Refund.State.NEEDS_REVIEW:
            return f"{amount}: the gateway's answer does not fit. A person has to decide."
    return f"{amount}: the gateway's answer is not known yet. It is asked; nothing is sent again."


def _back(attempt: ChargeAttempt) -> str:
    if UnifiedSession.objects.filter(pk=attempt.session_id).exists():
        return formatting.session_url(attempt.session_id)
    return reverse("admin:funnel_chargeattempt_change", args=[attempt.pk])


def _context(
    attempt: ChargeAttempt, left: Sequence[Portion], line: Portion | None
) -> dict[str, Any]:
    chosen = [line] if line is not None else [each for each in left if each.amount]
    rows = [
        {
            "name": each.line.name or each.line.item,
            "quantity": each.line.quantity,
            "charged": formatting.money(each.line.amount, attempt.currency),
            "left": formatting.money(each.amount, attempt.currency),
        }
        for each in chosen
    ]
    return {
        "title": "Give money back?",
        "attempt": attempt,
        "badge": state_badge(attempt),
        "session_link": formatting.session_link(attempt.session_id),
        "charged": formatting.money(attempt.amount, attempt.currency),
        "amount": formatting.money(portions.total(chosen), attempt.currency),
        "settled": formatting.when(attempt.settled_at, get_clock().now()),
        "rows": rows,
        "line": line,
        "is_surplus": attempt.state == ChargeAttempt.State.SURPLUS,
    }
