"""People and organisations in the administration."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from webapp.accounts.models import ApiKey, AuditEntry, Invitation, Membership, Organisation, User
from webapp.accounts.services import api_key_revoke


class ReadOnly:
    """Rows that are looked at here and changed elsewhere."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody adds."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody deletes."""
        return False


class NewUserForm(UserCreationForm):  # type: ignore[misc]
    """E-mail address and password."""

    class Meta:
        model = User
        fields = ("email",)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[misc, type-arg]
    """People; the e-mail address is the name."""

    form = UserChangeForm
    add_form = NewUserForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("email", "is_active", "is_staff", "date_joined", "last_login")
    list_filter = ("is_staff", "is_superuser", "is_active", "groups")
    search_fields = ("email", "first_name", "last_name")
    ordering = ("email",)
    fieldsets = (
        (None, {"fields": ("email", "password")}),
        (_("Person"), {"fields": ("first_name", "last_name")}),
        (_("Rights"), {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
        (_("Times"), {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"classes": ("wide",), "fields": ("email", "password1", "password2")}),)
    readonly_fields = ("last_login", "date_joined")


admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(ModelAdmin):  # type: ignore[misc]
    """Sets of rights, such as those of reviewers."""

    search_fields = ("name",)
    filter_horizontal = ("permissions",)


class MembershipInline(TabularInline):  # type: ignore[misc]
    """An organisation's people."""

    model = Membership
    extra = 0
    autocomplete_fields = ("user",)


@admin.register(Organisation)
class OrganisationAdmin(ModelAdmin):  # type: ignore[misc]
    """Organisations with their people and quota."""

    list_display = ("name", "website", "people", "storage_quota_bytes", "created_at")
    search_fields = ("name", "website")
    inlines = (MembershipInline,)
    readonly_fields = ("created_at",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Organisation]:
        """Count members in the one query."""
        return cast("QuerySet[Organisation]", super().get_queryset(request).annotate(people=Count("memberships")))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """An organisation takes its whole registry with it: it is not deleted by a click."""
        return False

    @admin.display(description=_("people"), ordering="people")
    def people(self, organisation: Any) -> int:
        """How many members it has."""
        return int(organisation.people)


@admin.register(Invitation)
class InvitationAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    """Invitations; they are sent on the organisation's page."""

    list_display = ("email", "organisation", "role", "invited_by", "expires_at", "accepted_at", "withdrawn_at")
    list_select_related = ("organisation", "invited_by")
    search_fields = ("email", "organisation__name")


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    """Keys by their beginning; the digest is never shown, and keys are made on the organisation's page."""

    list_display = ("name", "prefix", "organisation", "expires_at", "last_used_at", "revoked_at")
    list_select_related = ("organisation",)
    list_filter = (("revoked_at", admin.EmptyFieldListFilter),)
    search_fields = ("name", "prefix", "organisation__name")
    exclude = ("digest",)
    actions = ("revoke",)

    @admin.action(description=_("Revoke the chosen keys"), permissions=("view",))
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        """End the keys at once."""
        if not cast(User, request.user).has_perm("accounts.change_apikey"):
            self.message_user(request, _("You may not revoke keys."), level="error")
            return
        for key in queryset.select_related("organisation"):
            api_key_revoke(api_key=key, actor=cast(User, request.user))
        self.message_user(request, _("The keys are revoked: they are refused from now on."))


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    """Who did what; for reading only, by everybody."""

    list_display = ("at", "verb", "object_type", "object_id", "actor", "api_key", "organisation")
    list_select_related = ("actor", "api_key", "organisation")
    list_filter = ("verb",)
    search_fields = ("verb", "object_id", "actor__email", "organisation__name")
    date_hierarchy = "at"
    show_full_result_count = False
