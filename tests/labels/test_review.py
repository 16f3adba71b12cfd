"""The review: its queue, its answers on disk, two people at once, and what the server refuses."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from bmix.labels.answers import read_answers, standing
from bmix.labels.changes import changes_of, labels_by_id
from bmix.labels.review.queue import build_queue
from bmix.labels.review.server import HOST, build_app, serve
from bmix.labels.review.session import HELD_SECONDS, Review
from bmix.labels.run import LabelledRun
from bmix.labels.scored import read_scored
from bmix.support.errors import InputError
from bmix.support.sockets import open_socket
from tests.helpers.labelled import CLASSES, SPOILT, write_audited


@pytest.fixture
def run(tmp_path: Path) -> LabelledRun:
    return write_audited(tmp_path, pictures=400)


def review_of(run: LabelledRun, budget: int = 30, order: str = "score", **options: object) -> Review:
    path = run.folder / "answers.jsonl"
    before = read_answers(path, run.classes, labels_by_id(run)) if path.is_file() else []
    questions = build_queue(run, read_scored(run), budget, order)
    return Review(questions, path, run.classes, before, **options)  # type: ignore[arg-type]


def test_the_queue_is_by_score_by_class_or_spread(run: LabelledRun) -> None:
    scored = read_scored(run)
    by_score = build_queue(run, scored, 30)
    assert len(by_score) == 30
    p_wrong = [own.p_wrong or 0 for own in by_score]
    assert p_wrong[0] > 0.9
    by_class = build_queue(run, scored, 30, "class")
    assert {own.key for own in by_class} == {own.key for own in by_score}
    positions = [CLASSES.index(own.class_name) for own in by_class]
    assert positions == sorted(positions)
    spread = build_queue(run, scored, 30, "spread")
    assert [sum(own.class_name == name for own in spread) for name in CLASSES] == [10, 10, 10]
    assert len({own.class_name for own in spread[:3]}) == 3
    assert {own.class_name for own in build_queue(run, scored, 5, class_name="dog")} == {"dog"}
    for question in by_score:
        assert set(question.labels) == {CLASSES[k] for k in range(3) if SPOILT.given[question.row, k]}


def test_every_answer_is_in_the_file_and_a_review_goes_on(run: LabelledRun) -> None:
    review = review_of(run)
    kinds = ["accept", "reject", "skip", "other"]
    question = review.next_questions("me")[0]
    asked = []
    for kind in kinds:
        asked.append(question)
        question = review.answer("me", question.number, kind, ["dog"])[0]
        lines = (run.folder / "answers.jsonl").read_text().splitlines()
        assert json.loads(lines[-1])["answer"] == kind
        assert len(lines) == len(asked)
    again = review_of(run)
    assert again.progress()[0] >= 4
    assert again.next_questions("me")[0].key == question.key
    answers = standing(read_answers(run.folder / "answers.jsonl", run.classes, labels_by_id(run)))
    reviewed = changes_of(run, answers).reviewed()
    first, second, _, fourth = asked
    assert reviewed[first.id][first.class_name] == ("removed" if first.given else "added")
    assert reviewed[second.id][second.class_name] == "kept"
    assert reviewed[fourth.id]["dog"] in ("added", "kept")


def test_undo_asks_again_and_takes_back_ones_own(run: LabelledRun) -> None:
    review = review_of(run)
    first = review.next_questions("me")[0]
    review.answer("me", first.number, "accept")
    yours = review.next_questions("you")[0]
    review.answer("you", yours.number, "reject")
    done = review.progress()[0]
    assert review.undo("me")[0].key == first.key
    assert review.progress()[0] < done
    assert review.next_questions("you")[0].key != first.key
    assert review.undo("nobody")[0].key != first.key
    kept = standing(read_answers(run.folder / "answers.jsonl", run.classes, labels_by_id(run)))
    assert [answer.reviewer for answer in kept] == ["you"]


def test_two_people_are_asked_different_labels_and_lose_nothing(run: LabelledRun) -> None:
    now = [0.0]
    review = review_of(run, clock=lambda: now[0])
    mine, yours = (review.next_questions(name)[0] for name in ("me", "you"))
    assert mine.key != yours.key
    assert review.next_questions("me")[0].key == mine.key
    now[0] += HELD_SECONDS + 1
    # What somebody left open is asked of others in the end.
    assert review.next_questions("third")[0].key == mine.key

    review = review_of(run, 60)

    def work(name: str) -> int:
        given = 0
        questions = review.next_questions(name)
        while questions:
            questions = review.answer(name, questions[0].number, "skip")
            given += 1
        return given

    with ThreadPoolExecutor(4) as pool:
        given = list(pool.map(work, ["a", "b", "c", "d"]))
    assert sum(given) == 60
    answers = read_answers(run.folder / "answers.jsonl", run.classes, labels_by_id(run))
    assert len({answer.key for answer in answers}) == 60


def client_of(run: LabelledRun, files: bool = True) -> tuple[TestClient, str]:
    paths = [run.folder / "images" / path for path in run.manifest.paths("train")]
    app = build_app(review_of(run), paths if files else None, run.classes)
    client = TestClient(app, base_url="http://127.0.0.1:8765")
    page = client.get("/")
    assert page.status_code == 200
    found = re.search(r'TOKEN = "([^"]+)"', page.text)
    assert found
    return client, found[1]


def test_the_page_holds_no_markup_of_the_data(run: LabelledRun) -> None:
    client, token = client_of(run)
    page = client.get("/")
    assert "<b>owl</b>" not in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    state = client.post("/next", json={}, headers={"X-Review-Token": token}).json()
    assert state["total"] == 30
    picture = client.get("/" + state["questions"][0]["picture"])
    assert picture.headers["content-type"] == "image/jpeg"
    assert picture.content.startswith(b"\xff\xd8")
    plain, token = client_of(run, files=False)
    state = plain.post("/next", json={}, headers={"X-Review-Token": token}).json()
    assert state["questions"][0]["picture"] == ""


def test_foreign_requests_are_refused(run: LabelledRun) -> None:
    client, token = client_of(run)
    good = {"X-Review-Token": token}
    body = {"number": 0, "answer": "accept"}
    assert client.get("/", headers={"Host": "evil.example:8765"}).status_code == 403
    assert client.post("/answer", json=body).status_code == 403
    assert client.post("/answer", json=body, headers={"X-Review-Token": "x"}).status_code == 403
    assert client.post("/answer", json=body, headers={**good, "Origin": "http://evil.example"}).status_code == 403
    assert client.post("/answer", content=b"{" + b" " * 2**19 + b"}", headers=good).status_code == 403
    assert not (run.folder / "answers.jsonl").exists()
    for wrong in ({"number": 99, "answer": "accept"}, {"number": 0, "answer": "undo"}, {"number": "0", "answer": "x"},
                  {"number": 0, "answer": "other", "labels": ["nobody"]}):  # fmt: skip
        assert client.post("/answer", json=wrong, headers=good).status_code == 400
    for path in ("/picture/-1", "/picture/400", "/picture/..%2f..%2fparams.yaml", "/picture/x", "/params.yaml"):
        assert client.get(path).status_code in (404, 422)
    assert client.post("/answer", json=body, headers={**good, "Origin": "http://127.0.0.1:8765"}).status_code == 200
    assert len((run.folder / "answers.jsonl").read_text().splitlines()) == 1


def test_a_second_server_on_the_same_file_and_a_taken_port_are_refused(run: LabelledRun) -> None:
    import subprocess
    import sys

    path = run.folder / "answers.jsonl"
    holder = (
        "import sys; from pathlib import Path; from bmix.support.locks import held\n"
        "with held(Path(sys.argv[1]), RuntimeError): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", holder, str(path.with_name(".answers.jsonl.lock"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        app = build_app(review_of(run), None, run.classes)
        with pytest.raises(InputError, match="holds a review open on it"):
            serve(app, path, 0, lambda _: None)
        process.communicate("")
    with open_socket(HOST, 0) as taken:
        taken.listen()
        with pytest.raises(InputError, match="a free port"):
            open_socket(HOST, taken.getsockname()[1])
