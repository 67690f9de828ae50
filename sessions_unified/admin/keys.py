"""Service keys: made here, shown once, revoked. Never edited, never deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.template.response import TemplateResponse
from django.urls import reverse

from sessions_unified import keys
from sessions_unified.admin import formatting
from sessions_unified.admin.base import GuardedAdmin
from sessions_unified.clock import get_clock
from sessions_unified.models import ServiceKey
from sessions_unified.validators import no_card_data

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

if TYPE_CHECKING:
    _KeyModelForm = forms.ModelForm[ServiceKey]
else:
    _KeyModelForm = forms.ModelForm


class ServiceKeyForm(_KeyModelForm):
    """A new key: for whom, what it may do, until when."""

    scopes = forms.MultipleChoiceField(
        choices=[
            (keys.READ, "sessions:read: look at any session"),
            (keys.WRITE, "sessions:write: create, change, extend and delete any session"),
        ],
        widget=forms.CheckboxSelectMultiple,
    )

    class Meta:
        model = ServiceKey
        fields = ("name", "scopes", "expires_at")
        help_texts = {
            "name": "Of the service; it signs its changes in the event log.",
            "expires_at": "UTC. Empty: until it is revoked.",
        }

    def clean_name(self) -> str:
        """Refuse card numbers; the name goes into the event log."""
        name: str = self.cleaned_data["name"]
        no_card_data(name)
        return name

    def clean_expires_at(self) -> Any:
        """Refuse an end that has passed."""
        expires_at = self.cleaned_data.get("expires_at")
        if expires_at is not None and expires_at <= get_clock().now():
            raise forms.ValidationError("Choose a moment to come.")
        return expires_at


@admin.register(ServiceKey)
class ServiceKeyAdmin(GuardedAdmin[ServiceKey]):
    """API keys of services; the key's text is shown on the page that answers its creation."""

    form = ServiceKeyForm
    list_display = ("name", "prefix", "may", "state", "created_at", "expires_at")
    fields = ("name", "scopes", "expires_at")
    ordering = ("-created_at",)
    search_fields = ("name", "prefix")
    actions = ("revoke",)

    def get_fields(self, request: HttpRequest, obj: ServiceKey | None = None) -> Any:
        """Return the form's fields, or what is known of an existing key."""
        known = ("name", "prefix", "may", "state", "created_at", "expires_at", "revoked_at")
        return self.fields if obj is None else known

    def get_readonly_fields(self, request: HttpRequest, obj: ServiceKey | None = None) -> Any:
        """Return what is known of an existing key."""
        return () if obj is None else self.get_fields(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: ServiceKey | None = None) -> bool:
        """Let nobody edit a key; ``revoke`` asks without one."""
        return obj is None and super().has_change_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: ServiceKey | None = None) -> bool:
        """Nobody deletes one: the event log names it. Revoke it."""
        return False

    def add_view(
        self,
        request: HttpRequest,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Offer one button: the answer shows the key."""
        one = {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().add_view(request, form_url, {**(extra_context or {}), **one})

    def save_model(self, request: HttpRequest, obj: ServiceKey, form: Any, change: bool) -> None:
        """Make the key; its text stays on this request alone."""
        scopes = form.cleaned_data["scopes"]
        key, text = keys.create_key(obj.name, scopes, expires_at=obj.expires_at)
        obj.pk, obj.prefix = key.pk, key.prefix
        request.new_key_text = text  # type: ignore[attr-defined]

    def response_add(
        self, request: HttpRequest, obj: ServiceKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the key's text, once. No redirect: no cookie carries it."""
        context = {
            **self.admin_site.each_context(request),
            "title": f"Service key “{obj.name}”",
            "opts": self.opts,
            "media": self.media,
            "secrets": [(obj.name, request.new_key_text)],  # type: ignore[attr-defined]
            "back": reverse("admin:sessions_unified_servicekey_changelist"),
            "explanation": "Send it as “Authorization: Api-Key …”.",
        }
        messages.success(request, "The key was made. It is shown here once and stored as a hash.")
        return TemplateResponse(request, "admin/sessions_unified/secrets.html", context)

    @admin.action(description="Revoke the selected keys", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ServiceKey]) -> None:
        """End the keys now; they stay in the list."""
        live = list(queryset.filter(revoked_at=None))
        count = queryset.filter(revoked_at=None).update(revoked_at=get_clock().now())
        for key in live:
            self.log_change(request, key, "Revoked.")
        noun = "key was" if count == 1 else "keys were"
        messages.success(request, f"{count} {noun} revoked; requests with them are refused now.")

    @admin.display(description="may")
    def may(self, key: ServiceKey) -> str:
        """The scopes."""
        return ", ".join(key.scopes)

    @admin.display(description="state")
    def state(self, key: ServiceKey) -> SafeString | str:
        """Live, revoked or too old."""
        now = get_clock().now()
        if key.revoked_at is not None:
            return formatting.labelled("revoked", key.revoked_at, now)
        if key.expires_at is not None and key.expires_at <= now:
            return formatting.labelled("ended", key.expires_at, now)
        return "live"
