"""Sum up the results of single layers from `linearity`: means, and a verdict on the paper's claim."""

from __future__ import annotations

from statistics import fmean

NONE, WEIGHT, WEIGHT_AND_ACTIVATION, BATCH_NORM = "none", "weight", "weight and activation", "batch norm"
AS_TRAINED = "as trained"
# Each step is meant to come closer to the full-precision convolution.
STEPS = ((NONE, WEIGHT), (WEIGHT, WEIGHT_AND_ACTIVATION))
# Smallest mean changes that count: of linearity 0.5 % of the variance, of the error 1 % of itself.
NOTICEABLE, NOTICEABLE_ERROR = 0.005, 0.01


def percent(share: float) -> str:
    """Format a fraction as percent: 0.5213 as "52.1%", 81.19 as "8,119%"."""
    return f"{100 * share:,.{0 if share >= 10 else 1}f}%"


def means(layers: list[dict]) -> dict:
    """`{scales, nonlinearities}`: one row each, with means over the layers that have the number."""

    def mean(numbers):
        numbers = [number for number in numbers if number is not None]
        return fmean(numbers) if numbers else None

    def rows(kind, row):
        names = dict.fromkeys(name for layer in layers for name in layer[kind])
        found = {name: [layer[kind][name] for layer in layers if name in layer[kind]] for name in names}
        return [{"name": name, **row(numbers), "layers": len(numbers)} for name, numbers in found.items()]

    keys = ("error", "error_rescaled", "linearity")
    return {
        "scales": rows("scales", lambda found: {key: mean(one[key] for one in found) for key in keys}),
        "nonlinearities": rows("nonlinearities", lambda found: {"linearity": mean(found)}),
    }


def conclude(layers: list[dict]) -> dict[str, str]:
    """`{claim, verdict}`: whether less error goes with more linearity, as a word and as sentences with figures."""
    steps = [step for step in (_step(layers, *names) for names in STEPS) if step]
    found = {claim for claim, _ in steps}
    if {"holds", "contradicted"} <= found:
        claim, verdict = "mixed", "The data contradicts the paper's claim for some scales and agrees for others."
    elif "contradicted" in found:
        claim, verdict = "contradicted", "The data contradicts the paper's claim: less error goes with less linearity."
    elif "holds" in found:
        everywhere = "" if found == {"holds"} else ", but not for every scale"
        claim, verdict = "holds", f"The paper's claim holds here{everywhere}."
    else:
        claim = "no difference"
        verdict = "The data does not support the paper's claim: less error does not go with more linearity."
    return {"claim": claim, "verdict": " ".join([verdict, *(sentence for _, sentence in steps), *_furthest(layers)])}


def _step(layers: list[dict], before: str, after: str) -> tuple[str, str] | None:
    """Whether the claim holds from one scale to the next, and a sentence with the figures."""
    pairs = [(layer["scales"][before], layer["scales"][after]) for layer in layers]
    pairs = [(one, two) for one, two in pairs if None not in (*one.values(), *two.values())]
    if not pairs:
        return None
    (error, new_error), (linearity, new_linearity) = (
        [fmean(pair[side][key] for pair in pairs) for side in (0, 1)] for key in ("error", "linearity")
    )
    change = new_linearity - linearity
    claim = "no difference"
    if abs(change) >= NOTICEABLE and abs(new_error - error) > NOTICEABLE_ERROR * error:
        claim = "holds" if (change > 0) == (new_error < error) else "contradicted"
    fell = sum(two["error"] < one["error"] for one, two in pairs)
    agree = sum((two["linearity"] - one["linearity"]) * change > 0 for one, two in pairs)
    trend = f"{'higher' if change > 0 else 'lower'} in {agree} of {len(pairs)} layers"
    if abs(change) < 1e-4:
        trend = "no change"
    return claim, (
        f"From scale {before!r} to {after!r} the error goes from {percent(error)} to {percent(new_error)} (lower in "
        f"{fell} of {len(pairs)} layers) and linearity from {percent(linearity)} to {percent(new_linearity)} ({trend})."
    )


def _furthest(layers: list[dict]) -> list[str]:
    """A sentence on the non-linearities that reduce linearity most; nothing if no layer has a batch norm behind it."""
    taken: dict[str, list[float]] = {}
    for layer in layers:
        for name, linearity in layer["nonlinearities"].items():
            before = layer["scales"][BATCH_NORM]["linearity"]
            if None not in (linearity, before):
                taken.setdefault(name, []).append(before - linearity)
    if not taken:
        return []
    departures = {name: fmean(numbers) for name, numbers in taken.items()}
    most = max(departures.values())
    if most < NOTICEABLE:
        return ["No non-linearity is less linear than the batch norm alone."]
    names = [name for name, departure in departures.items() if departure > most - 1e-4]
    names = ["the network's own" if name == AS_TRAINED else name for name in names]
    return [f"Least linear: {', '.join(names)}, {100 * most:.1f} points below the batch norm alone."]
