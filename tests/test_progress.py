"""Reports of work under way."""

from __future__ import annotations

from xpert.progress import Progress, of_stage


def test_a_stage_is_put_on_what_work_reports() -> None:
    seen: list[Progress] = []
    of_stage("training", seen.append)(Progress(unit="epoch", done=3, total=10, figures={"loss": 0.5}))
    assert seen == [Progress(stage="training", unit="epoch", done=3, total=10, figures={"loss": 0.5})]


def test_the_answer_is_handed_back_and_nobody_need_listen() -> None:
    assert of_stage("exact", lambda _: True)(Progress()) is True
    assert of_stage("exact", None)(Progress()) is None
