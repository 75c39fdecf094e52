"""Tripo3D: 3D models of texts and images, made by tasks that are asked for and looked after by forwarded calls.

Source: https://platform.tripo3d.ai/docs
"""

from data_plane.providers._openai_like import bearer
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="tripo3d",
    label="Tripo3D",
    base_url="https://api.tripo3d.ai/v2/openapi",
    authorise=bearer,
    operations={},
    lists_models=False,
)
