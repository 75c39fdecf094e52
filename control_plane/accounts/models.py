"""People, what they prove themselves with, and where they are signed in."""

from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models.functions import Lower

from control_plane.core.sealed import SealedModel
from shared.ids import uuid7


def normal_email(email: str) -> str:
    """Return an e-mail address as it is stored and compared."""
    return email.strip().lower()


class UserManager(BaseUserManager["User"]):
    """Makes users; finds them whatever the case of their address."""

    def create_user(self, email: str, **fields: Any) -> "User":
        """Return a new user without a usable password: a set-up link gives one."""
        user = self.model(email=normal_email(email), **fields)
        user.set_unusable_password()
        user.save(using=self._db)
        return user

    def get_by_natural_key(self, username: str | None) -> "User":
        """Return the user with this address."""
        return self.get(email=normal_email(username or ""))


class User(AbstractBaseUser):
    """A person, who signs in by e-mail address; what they may do is said by their memberships."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    email = models.EmailField(unique=True)
    first_name = models.CharField(max_length=120, blank=True)
    last_name = models.CharField(max_length=120, blank=True)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    last_updated_at = models.DateTimeField(auto_now=True)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"

    class Meta:
        ordering = ("email",)
        constraints = (
            # Two rows that differ in case would be one person with two passwords.
            models.CheckConstraint(condition=models.Q(email=Lower("email")), name="user_email_is_lower_case"),
        )

    def __str__(self) -> str:
        return self.email

    @property
    def full_name(self) -> str:
        """How pages call the person."""
        return f"{self.first_name} {self.last_name}".strip() or self.email


class SetupLink(models.Model):
    """A one-time link to choose a password; only the hash of its token is stored."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE)
    token_hash = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"set-up link of {self.user_id}"


class SignIn(models.Model):
    """A browser in which a person is signed in.  Deleting the row ends it at the next request.

    `organisation_id`: the only organisation that it reaches, whose identity provider vouched for the person; None: all
    of theirs.  A column without foreign key, because organisations are above this package.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="sign_ins")
    method = models.CharField(max_length=20)
    organisation_id = models.UUIDField(null=True)
    address = models.GenericIPAddressField(null=True)
    device = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    last_seen_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-last_seen_at",)

    def __str__(self) -> str:
        return f"sign-in of {self.user_id}"


class Guesses(models.Model):
    """How often something was tried in vain: a password or code of one account, or anything from one address.

    `subject` is a keyed hash, so that the table does not list addresses; `user` is None when there is no such account.
    `reported` is what the audit trail has been told of `failures`.
    """

    subject = models.CharField(primary_key=True, max_length=64)
    user = models.ForeignKey(User, on_delete=models.CASCADE, null=True)
    failures = models.PositiveIntegerField(default=0)
    reported = models.PositiveIntegerField(default=0)
    address = models.GenericIPAddressField(null=True)
    last_at = models.DateTimeField(null=True)
    locked_until = models.DateTimeField(null=True, db_index=True)

    def __str__(self) -> str:
        return f"{self.failures} failures"


class SecondFactor(SealedModel):
    """The seed of a person's one-time codes; it counts once a first code proved it (`confirmed_at`).

    `last_step` is the time step of the newest code that was accepted: none of that step or before is accepted again.
    """

    user = models.OneToOneField(User, on_delete=models.CASCADE, primary_key=True, related_name="second_factor")
    last_step = models.BigIntegerField(default=0)
    confirmed_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"second factor of {self.user_id}"


class RecoveryCode(models.Model):
    """A code that stands in for a lost second factor, once; only its hash is stored."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="recovery_codes")
    code_hash = models.CharField(max_length=64)
    used_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("user", "code_hash"), name="recovery_code_unique"),)

    def __str__(self) -> str:
        return f"recovery code of {self.user_id}"
