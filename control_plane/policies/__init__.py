"""Policies: limits of usage and of rate for whoever matches conditions."""
