"""Slow oracles in plain Python loops, independent of the package."""

import math


def windows(n_samples, window, stride, tail, minimum):
    """Spans in samples, found by walking through the recording; None where nothing can be used."""
    spans, start = [], 0
    while True:
        spans.append((start, min(start + window, n_samples)))
        if start + window >= n_samples:
            break
        start += stride
    shortest = window if tail == "drop" else minimum
    if len(spans) > 1 and spans[-1][1] - spans[-1][0] < shortest:
        spans.pop()
    return None if spans[0][1] - spans[0][0] < minimum else spans


def pool(name, frames, attention=None):
    """One utterance: frames, a list of T lists of D floats without padding → list of P floats."""
    n_channels = len(frames[0])
    if name == "max":
        return [max(frame[d] for frame in frames) for d in range(n_channels)]
    weights = [1 / len(frames)] * len(frames)
    if name.startswith("attenti"):
        scores = [sum(w * x for w, x in zip(attention, frame, strict=True)) for frame in frames]
        exponentials = [math.exp(score - max(scores)) for score in scores]
        weights = [one / sum(exponentials) for one in exponentials]
    means = [sum(w * frame[d] for w, frame in zip(weights, frames, strict=True)) for d in range(n_channels)]
    if not name.endswith("statistics"):
        return means
    variances = [
        sum(w * (frame[d] - means[d]) ** 2 for w, frame in zip(weights, frames, strict=True)) for d in range(n_channels)
    ]
    return means + [math.sqrt(max(variance, 1e-7)) for variance in variances]


def supcon(vectors, labels, temperature=0.1, denominator="all"):
    terms = []
    for i, positives, negatives in _anchors(labels):
        others = negatives if denominator == "negatives" else positives + negatives
        if not positives or not others:
            continue
        below = math.log(sum(math.exp(_cosine(vectors[i], vectors[a]) / temperature) for a in others))
        terms.append(sum(below - _cosine(vectors[i], vectors[p]) / temperature for p in positives) / len(positives))
    return _mean(terms)


def triplet(vectors, labels, margin=0.05, normalize=True, reduction="nonzero"):
    if normalize:
        vectors = [_unit(vector) for vector in vectors]
    terms = []
    for a, positives, negatives in _anchors(labels):
        for p in positives:
            for n in negatives:
                term = max(0.0, math.dist(vectors[a], vectors[p]) - math.dist(vectors[a], vectors[n]) + margin)
                if term > 0 or reduction == "all":
                    terms.append(term)
    return _mean(terms)


def multi_similarity(vectors, labels, alpha=2.0, beta=50.0, base=0.5, epsilon=0.1):
    terms = []
    for i, positives, negatives in _anchors(labels):
        if not positives:
            continue
        near = [_cosine(vectors[i], vectors[p]) for p in positives]
        far = [_cosine(vectors[i], vectors[n]) for n in negatives]
        if epsilon is not None:
            near, far = (
                [s for s in near if far and s - epsilon < max(far)],
                [s for s in far if s + epsilon > min(near)],
            )
        pull = math.log(1 + sum(math.exp(-alpha * (s - base)) for s in near)) / alpha
        push = math.log(1 + sum(math.exp(beta * (s - base)) for s in far)) / beta
        terms.append(pull + push)
    return _mean(terms)


def _anchors(labels):
    for i, label in enumerate(labels):
        others = [j for j in range(len(labels)) if j != i]
        yield i, [j for j in others if labels[j] == label], [j for j in others if labels[j] != label]


def _unit(vector):
    length = math.hypot(*vector)
    return [x / length for x in vector] if length else vector


def _cosine(left, right):
    return sum(x * y for x, y in zip(_unit(left), _unit(right), strict=True))


def _mean(terms):
    return sum(terms) / len(terms) if terms else 0.0
