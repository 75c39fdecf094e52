"""Background tasks."""

from control_plane.celery import app, make_app


def test_tasks_are_done_again_rather_than_lost():
    assert app.conf.task_acks_late
    assert app.conf.task_reject_on_worker_lost


def test_no_task_outlives_the_time_after_which_it_is_handed_out_again():
    limits = app.conf.task_soft_time_limit, app.conf.task_time_limit
    assert limits[0] < limits[1] < app.conf.broker_transport_options["visibility_timeout"]


def test_only_json_is_accepted():
    assert app.conf.accept_content == ["json"]
    assert app.conf.task_serializer == "json"


def test_beat_plans_the_tasks_of_every_app_by_names_that_exist():
    app.finalize()
    app.loader.import_default_modules()
    planned = {entry["task"] for entry in app.conf.beat_schedule.values()}
    assert "keys.end_transitions" in planned
    assert planned <= set(app.tasks)


def test_making_an_application_connects_to_nothing():
    assert make_app().conf.broker_url
