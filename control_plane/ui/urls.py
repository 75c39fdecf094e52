"""Addresses of the pages."""

from django.urls import path
from django.views.generic import RedirectView

from control_plane.ui import gateway_pages, key_pages, log_pages, sign_in

urlpatterns = [
    path("", RedirectView.as_view(url="/logs"), name="home"),
    path("login", sign_in.sign_in, name="login"),
    path("logout", sign_in.sign_out, name="logout"),
    path("setup/<str:token>", sign_in.set_up, name="setup"),
    path("logs", log_pages.list_logs, name="logs"),
    path("logs/<str:log_id>", log_pages.show_log, name="log"),
    path("gateways", gateway_pages.list_gateways, name="gateways"),
    path("keys", key_pages.list_keys, name="keys"),
    path("keys/create", key_pages.create_key, name="key-create"),
    path("keys/<str:key_id>/revoke", key_pages.revoke_key, name="key-revoke"),
]
