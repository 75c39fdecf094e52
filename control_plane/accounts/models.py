"""People and the one-time links by which they choose a password."""

from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models.functions import Lower

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
