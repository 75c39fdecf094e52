"""Meshy: 3D models of texts and images, made by tasks that are asked for and looked after by forwarded calls.

Source: https://docs.meshy.ai/api
"""

from data_plane.providers._openai_like import bearer
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="meshy",
    label="Meshy",
    base_url="https://api.meshy.ai/openapi/v1",
    authorise=bearer,
    operations={},
    lists_models=False,
)
