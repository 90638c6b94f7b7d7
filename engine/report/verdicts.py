"""What the numbers say, in plain sentences: what holds, what doesn't, and what these rows can't tell."""

from __future__ import annotations

from headrace.report.formats import count, finite, fixed, percent, rate, significant
from headrace.report.model import Diversity, DiversityRow, Exposure, Gain, Quality, QualityRow, Report, Target
from headrace.report.page import Verdict

#: A prediction this far off the observed rate is called off.
CALIBRATION_SLACK = 0.1


def headline(report: Report) -> str:
    """The run in one sentence: what the funnel's lists find against popularity, and how fast it is."""
    parts = []
    if report.quality is not None:
        parts.append(_quality_headline(report.quality))
    if report.funnel is not None:
        m = report.machine
        where = f"{m.device}, {m.threads} thread{'s' if m.threads != 1 else ''}"
        parts.append(f"{count(round(report.funnel.requests_per_second))} requests/s through the whole funnel ({where})")
    sentence = "; ".join(p for p in parts if p)
    return f"{sentence}." if sentence else report.title


def verdicts(report: Report) -> list[Verdict]:
    """All sentences, in the order of the report's sections."""
    out = [] if report.quality is None else [*_quality(report.quality), *map(_gain, report.quality.gains)]
    out += [v for target in report.targets for v in _target(target)]
    if report.diversity is not None:
        out += _diversity(report.diversity)
    if report.exposure is not None:
        out += _exposure(report.exposure)
    return out


def baseline_recall(quality: Quality, name: str) -> float | None:
    """Recall of the row called `name` that gives all users one list; None where there is none."""
    rows = [row for row in quality.rows if row.name == name and not row.personalised]
    return rows[0].recall if rows and finite(rows[0].recall) else None


def reward_given_up(row: DiversityRow, plain: DiversityRow) -> float | None:
    """Share of the mean reward that `row` gives up against `plain`."""
    if row.mean_reward is None or not plain.mean_reward or not finite(row.mean_reward / plain.mean_reward):
        return None
    return 1 - row.mean_reward / plain.mean_reward


def _quality_headline(quality: Quality) -> str:
    order = ("reranking", "ranking", "merge", "channel")
    made = [(row, row.recall) for kind in order for row in quality.rows if row.kind == kind and finite(row.recall)]
    if not made:
        return ""
    last, recall = made[0]
    text = f"The first {quality.k} after {_after(last)} hold {percent(recall)} of what users went on to want"
    popular = baseline_recall(quality, "popularity")
    if popular is None:
        return text
    if recall > popular > 0:
        return f"{text}, {significant(recall / popular)} times popularity's {percent(popular)}"
    return f"{text}, {'above' if recall > popular else 'not above'} popularity's {percent(popular)}"


def _after(row: QualityRow) -> str:
    return {"reranking": "re-ranking", "ranking": "ranking", "merge": "the merge"}.get(row.kind, row.name)


def _quality(quality: Quality) -> list[Verdict]:
    popular = baseline_recall(quality, "popularity")
    if popular is None:
        return []
    rows = [(row, row.recall) for row in quality.rows if row.personalised and finite(row.recall)]
    judged = [(row, _against(row, recall, popular, quality)) for row, recall in rows]
    won = [row for row, verdict in judged if verdict.good and row.kind == "channel"]
    if len(won) < 2:
        return [verdict for _, verdict in judged]
    names, values = _and([row.name for row in won]), _and([percent(row.recall) for row in won])
    together = f"{names} beat popularity: recall@{quality.k} {values} against {percent(popular)}."
    return [Verdict(together, True), *(verdict for row, verdict in judged if row not in won)]


def _gain(gain: Gain) -> Verdict:
    """Judged by recall where its interval leaves no doubt, else by NDCG."""
    for name, value, (low, high) in (("recall", gain.recall, gain.recall_95), ("NDCG", gain.ndcg, gain.ndcg_95)):
        if not (finite(value) and finite(low) and finite(high)) or low <= 0 <= high:
            continue
        what = "adds to" if low > 0 else "takes away from"
        change = f"{name} {100 * value:+.2f} points ({100 * low:+.2f} to {100 * high:+.2f})"
        return Verdict(f"{gain.stage} {what} {gain.before}: {change}.", low > 0)
    return Verdict(f"{gain.stage}: nothing that these users could tell from {gain.before}.", None)


def _and(words: list[str]) -> str:
    return " and ".join(x for x in (", ".join(words[:-1]), words[-1]) if x)


def _against(row: QualityRow, recall: float, popular: float, quality: Quality) -> Verdict:
    name = f"{row.name} (channel)" if row.kind == "channel" else row.name
    numbers = f"recall@{quality.k} {percent(recall)} against {percent(popular)}"
    if recall <= popular:
        return Verdict(f"{name} does not beat popularity: {numbers}.", False)
    # A share in [0, 1] with mean r varies at most as r(1 - r): twice that error of the difference is a safe margin.
    spread = recall * (1 - recall) + popular * (1 - popular)
    margin = 2 * (spread / max(quality.requests, 1)) ** 0.5
    if recall - popular < margin:
        doubt = f"a gap that {count(quality.requests)} requests can't tell from chance (±{percent(margin)})"
        return Verdict(f"{name} is above popularity, {numbers}, by {doubt}.", None)
    return Verdict(f"{name} beats popularity: {numbers}.", True)


def _target(target: Target) -> list[Verdict]:
    out = []
    known = {name: value for name, value in target.baselines.items() if finite(value)}
    if known and finite(target.auc):
        name = max(known, key=lambda n: known[n])
        better = target.auc > known[name]
        verb = "beats" if better else "does not beat"
        gap = f"AUC {fixed(target.auc)} against {fixed(known[name])}"
        out.append(Verdict(f"{target.name}: the model {verb} its best baseline, {name}: {gap}.", better))
    if finite(target.calibration):
        off = target.calibration - 1
        if abs(off) > CALIBRATION_SLACK:
            side = "more" if off > 0 else "less"
            out.append(Verdict(f"{target.name}: it predicts {percent(abs(off), 0)} {side} than happened.", False))
    elif not target.positives:
        out.append(Verdict(f"{target.name}: no positives in the held-out rows; nothing can be said.", None))
    return out


def _diversity(diversity: Diversity) -> list[Verdict]:
    if len(diversity.rows) < 2:
        return []
    plain, out = diversity.rows[0], []
    before = plain.intra_list_distance
    for row in diversity.rows[1:]:
        after, given_up = row.intra_list_distance, reward_given_up(row, plain)
        if given_up is None or not finite(before) or not finite(after):
            continue
        better = after > before
        verb = "makes pages more varied" if better else "does not make pages more varied"
        change = f"{fixed(before)} to {fixed(after)}"
        price = f"{percent(abs(given_up))} of the reward {'given up' if given_up >= 0 else 'gained'}"
        out.append(Verdict(f"{row.name} {verb}: intra-list distance {change}, {price}.", better))
    return out


def _exposure(exposure: Exposure) -> list[Verdict]:
    out = [
        _must_be_zero("seen items shown again", exposure.seen_shown, exposure.shown, "items shown"),
        _must_be_zero("false negatives", exposure.false_negatives, exposure.seen_probes, "seen pairs asked"),
    ]
    for f in (f for f in exposure.filters if f.probes):
        # Twice the standard error of a rate counted over so many probes is chance.
        good = f.measured <= f.designed + 2 * (f.designed * (1 - f.designed) / f.probes) ** 0.5
        relation = "in line with" if good else "above"
        text = f"{f.name}: measured false-positive rate {rate(f.measured)}, {relation} the designed {rate(f.designed)}."
        out.append(Verdict(text, good))
    return out


def _must_be_zero(what: str, value: int, of: int, unit: str) -> Verdict:
    if value:
        return Verdict(f"Exposure filter: {count(value)} {what} among {count(of)} {unit}; there must be none.", False)
    return Verdict(f"Exposure filter: no {what} among {count(of)} {unit}.", True if of else None)
