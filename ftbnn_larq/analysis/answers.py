"""What a network answers on a test split: top-1 of each class, what it confuses, its most confident mistakes."""

from __future__ import annotations

import base64
import heapq
import io
import itertools
from collections import Counter

import numpy as np

from ftbnn_larq.data import DataConfig
from ftbnn_larq.data.pictures import as_image
from ftbnn_larq.documents import Answers, Confusion, Mistake, OfClass
from ftbnn_runtime.pictures import restore

# All pairs of 100 classes.
MOST_CONFUSIONS = 10_000
# Of a thumbnail, in pixels. Smaller pictures stay as they are.
SIDE = 96


class Tally:
    """Counts answers, batch by batch, and keeps the mistakes with the highest probability.

    Arguments:
        config: labels and normalization of the pictures.
        names: of the pictures, in order; empty where they have none.
        mistakes: how many are kept.
    """

    def __init__(self, config: DataConfig, names: tuple[str, ...] = (), mistakes: int = 0):
        self.config, self.names, self.most = config, names, mistakes
        self.pairs: Counter[tuple[int, int]] = Counter()
        self.examples = 0
        # (probability, -place in the split, label, answer, picture): no two have the same place.
        self.kept: list[tuple] = []

    def add(self, pictures, labels, answers, probabilities) -> None:
        """Count a batch.

        Arguments:
            pictures: normalized float32 (n, h, w, c).
            labels, answers: numbers of classes (n,).
            probabilities: of the answers (n,); None where no mistakes are kept.
        """
        self.pairs.update(zip(labels.tolist(), answers.tolist(), strict=True))
        for index in np.flatnonzero(labels != answers) if self.most else ():
            # What is no number is not confident, and float32 rounds beyond 1.
            probability = float(np.clip(np.nan_to_num(probabilities[index]), 0, 1))
            key = (probability, -(self.examples + int(index)))
            if len(self.kept) == self.most and key < self.kept[0][:2]:
                continue
            mistake = (*key, int(labels[index]), int(answers[index]), np.array(pictures[index]))
            (heapq.heappushpop if len(self.kept) == self.most else heapq.heappush)(self.kept, mistake)
        self.examples += len(labels)

    def told(self) -> Answers:
        """All that was counted, as a document."""
        labels = self.config.labels
        examples, right = Counter(), Counter()
        for (label, answer), count in self.pairs.items():
            examples[label] += count
            right[label] += count * (label == answer)
        wrong = sorted((-count, *pair) for pair, count in self.pairs.items() if pair[0] != pair[1])
        return Answers(
            self.examples,
            tuple(
                OfClass(label, examples[index], right[index] / examples[index] if examples[index] else None)
                for index, label in enumerate(labels)
            ),
            tuple(
                Confusion(labels[label], labels[answer], -count)
                for count, label, answer in itertools.islice(wrong, MOST_CONFUSIONS)
            ),
            tuple(
                Mistake(
                    labels[label],
                    labels[answer],
                    probability,
                    _thumbnail(picture, self.config),
                    self.names[-place] if self.names else None,
                )
                for probability, place, label, answer, picture in sorted(self.kept, key=lambda row: row[:2])[::-1]
            ),
        )


def _thumbnail(picture: np.ndarray, config: DataConfig) -> str:
    """A small PNG of a normalized picture, in Base64."""
    image = as_image(restore(picture, config.mean, config.std))
    image.thumbnail((SIDE, SIDE))
    if image.mode == "RGB":
        # 256 colors are enough to see what it is, in a third of the bytes.
        image = image.quantize(256)
    content = io.BytesIO()
    image.save(content, "PNG", optimize=True)
    return base64.b64encode(content.getvalue()).decode()
