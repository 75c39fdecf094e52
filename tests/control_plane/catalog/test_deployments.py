"""The deployments of an Azure account, in one form."""

import pytest

from control_plane.catalog.deployments import checked_deployments, deployment_rows
from shared.schema.rows import DeploymentRow

LEGACY = {"apiVersion": "2024-10-21", "deploymentName": "dep-a", "alias": "fast"}
A = {"azure_deployment_name": "dep-a", "azure_api_version": "2024-10-21", "azure_model_slug": "gpt-4o", "alias": "big"}
B = {"azure_deployment_name": "dep-b", "azure_api_version": "2024-02-01", "alias": "gpt-4o", "is_default": True}


def test_older_names_of_fields_are_understood():
    assert checked_deployments([LEGACY]) == [
        {"azure_deployment_name": "dep-a", "azure_api_version": "2024-10-21", "alias": "fast", "is_default": True}
    ]


def test_the_first_is_the_default_when_none_is_said_to_be():
    assert [each["is_default"] for each in checked_deployments([A, {**B, "is_default": None}])] == [True, False]
    assert [each["is_default"] for each in checked_deployments([A, B])] == [False, True]


def test_what_is_stored_is_understood_when_it_is_sent_again():
    stored = checked_deployments([A, B])
    assert checked_deployments(stored) == stored


@pytest.mark.parametrize(
    ("given", "place"),
    [
        (None, "must be a list"), ([], "must be a list"), ([7], "0: must be an object"),
        ([{**A, "azure_deployment_name": ""}], "0.azure_deployment_name: is required"),
        ([A, {"deploymentName": "x"}], "1.azure_api_version: is required"),
        ([{**A, "azure_api_version": "2024 10"}], "0.azure_api_version"),
        ([{**A, "azure_api_version": "1" * 31}], "0.azure_api_version"), ([{**A, "alias": 7}], "0.alias"),
        ([{**A, "key": "x"}], "0.key: is no field"), ([{**A, "is_default": "yes"}], "0.is_default"),
        ([A, {**B, "alias": "big"}], "same alias"), ([{**A, "is_default": True}, B], "only one"),
    ],
)  # fmt: skip
def test_what_is_no_list_of_deployments_is_refused_with_its_place(given, place):
    with pytest.raises(ValueError, match=place):
        checked_deployments(given)


def test_a_name_means_one_deployment_and_an_alias_comes_before_other_names():
    assert deployment_rows(checked_deployments([A, B])) == (
        DeploymentRow("dep-a", "2024-10-21", ("big", "dep-a")),
        DeploymentRow("dep-b", "2024-02-01", ("gpt-4o", "dep-b"), is_default=True),
    )
    same = [{**A, "alias": ""}, {**B, "alias": "", "azure_model_slug": "gpt-4o"}]
    assert [row.names for row in deployment_rows(checked_deployments(same))] == [("gpt-4o", "dep-a"), ("dep-b",)]
