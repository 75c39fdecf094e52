"""Rows of gateways: the root of trust, groups and their bundles, instances and what they report."""

from django.db import models

from shared.ids import uuid7


class SigningRoot(models.Model):
    """One version of the root of trust, as signed; every version is kept for ever."""

    version = models.PositiveIntegerField(primary_key=True)
    content = models.BinaryField()
    created_at = models.DateTimeField(auto_now_add=True)


class GatewayGroup(models.Model):
    """All replicas of one deployment: one identity, one sealing key, one bundle.

    A group serves its organisation; one that `serves_all` serves every organisation of this installation.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organisation = models.ForeignKey("orgs.Organisation", on_delete=models.CASCADE, related_name="gateway_groups")
    name = models.CharField(max_length=120)
    serves_all = models.BooleanField(default=False)
    status = models.CharField(max_length=20, default="active")
    identity_pub = models.BinaryField(max_length=32)
    sealing_pub = models.BinaryField(max_length=32)
    sealing_kid = models.CharField(max_length=32)
    capabilities = models.JSONField(default=list)
    epoch = models.PositiveIntegerField(default=1)
    seq = models.BigIntegerField(default=0)
    head_no = models.BigIntegerField(default=0)
    head = models.BinaryField(null=True)
    head_signed_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """A group is found by organisation and name."""

        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class EnrolmentToken(models.Model):
    """A one-time token that makes a gateway group; only its hash is stored."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    token_hash = models.CharField(max_length=64, unique=True)
    organisation = models.ForeignKey("orgs.Organisation", on_delete=models.CASCADE)
    group_name = models.CharField(max_length=120)
    serves_all = models.BooleanField(default=False)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
    used_identity_pub = models.BinaryField(max_length=32, null=True)
    group = models.ForeignKey(GatewayGroup, on_delete=models.CASCADE, null=True)
    created_at = models.DateTimeField(auto_now_add=True)


class GatewayInstance(models.Model):
    """One running gateway of a group, and its last status report."""

    group = models.ForeignKey(GatewayGroup, on_delete=models.CASCADE, related_name="instances")
    instance = models.CharField(max_length=64)
    first_seen_at = models.DateTimeField(auto_now_add=True)
    last_seen_at = models.DateTimeField(db_index=True)
    report = models.JSONField(default=dict)

    class Meta:
        """An instance has one row for each group."""

        constraints = (models.UniqueConstraint(fields=("group", "instance"), name="gateway_instance_once"),)


class BundleVersion(models.Model):
    """One published manifest.  `contents` remembers, for each section, raw digest → blob, to publish only changes."""

    group = models.ForeignKey(GatewayGroup, on_delete=models.CASCADE, related_name="versions")
    epoch = models.PositiveIntegerField()
    seq = models.BigIntegerField()
    digest = models.CharField(max_length=64, db_index=True)
    manifest = models.BinaryField()
    contents = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """Two publishers can never issue one number twice: the second insert fails."""

        constraints = (models.UniqueConstraint(fields=("group", "epoch", "seq"), name="bundle_version_once"),)
        ordering = ("-epoch", "-seq")


class Blob(models.Model):
    """A content-addressed blob of one or more bundles."""

    digest = models.CharField(max_length=64, primary_key=True)
    content = models.BinaryField()
    created_at = models.DateTimeField(auto_now_add=True)


class SealedSecret(models.Model):
    """A vault secret sealed to a group's key, once; the sealed bytes are what is published."""

    group = models.ForeignKey(GatewayGroup, on_delete=models.CASCADE)
    secret = models.ForeignKey("vault.VaultSecret", on_delete=models.CASCADE)
    version = models.PositiveIntegerField()
    kid = models.CharField(max_length=32)
    sealed = models.BinaryField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """One sealing for each group, secret, version and key."""

        constraints = (
            models.UniqueConstraint(fields=("group", "secret", "version", "kid"), name="sealed_secret_once"),
        )
