"""What a network answered: counted as scikit-learn counts, and the most confident mistakes kept as pictures."""

from __future__ import annotations

import base64
import io
import json
import warnings

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import confusion_matrix, recall_score

from ftbnn_larq import documents
from ftbnn_larq.analysis.accuracy import accuracy
from ftbnn_larq.analysis.answers import Tally
from ftbnn_larq.errors import RunError

LABELS = ("cat", "dog", "owl", "emu")
CONFIG = documents.DataConfig("mine", (8, 8, 3), LABELS, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))


def asked(scores, labels, mistakes=0, names=(), batch=16):
    """The accuracy and the tally of a network that answers `scores`, on pictures of the tone of their number."""
    tally, at = Tally(CONFIG, names, mistakes), range(0, len(labels), batch)
    pictures = np.arange(len(labels), dtype=np.float32)[:, None, None, None] / 255 * np.ones((8, 8, 3), np.float32)
    pictures = (pictures - np.float32(CONFIG.mean)) / np.float32(CONFIG.std)
    answers = iter([scores[index : index + batch] for index in at])
    batches = [(pictures[index : index + batch], labels[index : index + batch]) for index in at]
    return accuracy(lambda _: next(answers), batches, tally=tally), tally.told()


def matrix(answers):
    found = np.diag([round((row.top1 or 0) * row.examples) for row in answers.per_class])
    for pair in answers.confusion:
        found[LABELS.index(pair.label), LABELS.index(pair.predicted)] = pair.examples
    return found


def test_counts_are_those_of_scikit_learn_and_fit_top_1():
    chance = np.random.default_rng(0)
    labels = chance.choice(3, 200, p=(0.7, 0.2, 0.1))  # No emu.
    scores = chance.normal(size=(200, 4)).round(1)  # Some are equal.
    result, answers = asked(scores, labels)
    np.testing.assert_array_equal(matrix(answers), confusion_matrix(labels, scores.argmax(1), labels=range(4)))
    recalls = recall_score(labels, scores.argmax(1), labels=range(3), average=None)
    assert [row.top1 for row in answers.per_class] == [*map(pytest.approx, recalls), None]
    assert [row.label for row in answers.per_class] == list(LABELS) and answers.examples == 200
    counts = [pair.examples for pair in answers.confusion]
    assert counts == sorted(counts, reverse=True)
    assert result["top1"] == np.trace(matrix(answers)) / 200


def test_scores_that_are_no_numbers_are_mistakes():
    scores = np.full((6, 4), np.nan)
    scores[3:, 0] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result, answers = asked(scores, np.array([0, 1, 2, 0, 1, 3]), mistakes=10)
    assert result["top1"] == np.trace(matrix(answers)) / 6 == 0
    assert [mistake.probability for mistake in answers.mistakes] == [0] * 6


def test_the_most_confident_mistakes_are_kept_as_pictures(tmp_path):
    labels, answered = np.zeros(100, int), np.arange(100) % 4
    # Picture 50 and its neighbours are the most confident.
    scores = np.eye(4)[answered] * (9 - 0.1 * np.abs(np.arange(100) - 50))[:, None]
    _, answers = asked(scores, labels, mistakes=3, names=tuple(f"cat/{number}.png" for number in range(100)))
    assert [mistake.file for mistake in answers.mistakes] == ["cat/50.png", "cat/49.png", "cat/51.png"]
    assert [mistake.predicted for mistake in answers.mistakes] == ["owl", "dog", "emu"]
    wanted = 1 / (1 + 3 * np.exp(-9))
    assert answers.mistakes[0].probability == pytest.approx(wanted)
    with Image.open(io.BytesIO(base64.b64decode(answers.mistakes[0].picture))) as picture:
        assert (picture.format, picture.size) == ("PNG", (8, 8))
        assert (np.asarray(picture.convert("RGB")) == 50).all()
    documents.write(tmp_path / "answers.json", answers)
    assert documents.read(tmp_path / "answers.json", documents.Answers, RunError) == answers
    assert asked(scores, answered, mistakes=3)[1].mistakes == ()


def test_thumbnails_are_small_whatever_the_picture():
    config = documents.DataConfig("mine", (300, 200, 3), LABELS, mean=(0.5,) * 3, std=(0.25,) * 3)
    noise = np.random.default_rng(0).normal(size=(1, 300, 200, 3)).astype(np.float32)
    tally = Tally(config, mistakes=1)
    tally.add(noise, np.array([0]), np.array([1]), np.array([1.0000001]))
    (mistake,) = tally.told().mistakes
    assert mistake.probability == 1 and mistake.file is None
    assert len(json.dumps(mistake.picture)) < 20_000
    assert Image.open(io.BytesIO(base64.b64decode(mistake.picture))).size == (64, 96)
