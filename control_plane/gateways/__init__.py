"""Gateways: enrolment, bundle building and signing, rollout status."""
