"""Likely candidates among many targets: SeqSim of frames replaced by the nearest of K codes.

A target is kept as the codes of its frames. As codes are few, their similarities are known beforehand, and the score of
a pair takes K products instead of T1 T2 D.

Dimensions: N queries, M targets, T frames of one, D channels, K codes.
"""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import sparse

from hf_dialects.disk import whole_file
from hf_dialects.errors import CheckpointError, DialectError
from hf_dialects.extras import require
from hf_dialects.retrieval.scores import harmonic_mean
from hf_dialects.retrieval.sequences import Sequences, cuts

EXTRA = "retrieval"
BLOCK = 2**16  # frames coded at a time
FRAMES_PER_CODE = 256  # that k-means looks at


class FrameIndex:
    """Targets as codes; made by `build`, extended by `add`, kept by `save` and `load`.

    Attributes:
        codebook: (K, D) float32 codes of length one.
        lengths: (M,) int64 frames of each target.
        codes: (ΣT,) int32 code of every frame.
    """

    def __init__(self, codebook: np.ndarray, codes: np.ndarray, lengths: np.ndarray):
        self.codebook, self.codes, self.lengths = codebook, codes, lengths
        self._profiles = None

    def __len__(self) -> int:
        return len(self.lengths)

    @classmethod
    def build(cls, targets: Sequence, n_codes: int = 1024, seed: int = 0) -> "FrameIndex":
        """Index of targets (T, D), with a codebook of their frames (spherical k-means).

        Raises:
            MissingExtra: faiss is not installed.
            DialectError: as `seqsim_matrix`.
        """
        faiss = require("faiss", EXTRA)
        sequences = Sequences("targets", targets)
        n_frames = int(sequences.lengths.sum())
        n_codes = min(n_codes, n_frames)
        every = max(1, n_frames // (n_codes * FRAMES_PER_CODE))
        parts = cuts(sequences.lengths, BLOCK)
        sample = np.concatenate([sequences.load(np.arange(*part)).units[::every] for part in parts])
        few_or_many = {"min_points_per_centroid": 1, "max_points_per_centroid": len(sample)}  # take all of the sample
        means = faiss.Kmeans(sequences.size, n_codes, seed=seed + 1, spherical=True, **few_or_many)
        means.train(sample)
        index = cls(means.centroids, np.empty(0, dtype=np.int32), np.empty(0, dtype=np.int64))
        index.add(targets)
        return index

    def add(self, targets: Sequence) -> None:
        """Put more targets behind those that are there; the codebook stays.

        Raises:
            MissingExtra, DialectError: as `build`, or frames of another size.
        """
        codes, lengths = self._coded("targets", targets)
        self.codes, self.lengths = np.concatenate([self.codes, codes]), np.concatenate([self.lengths, lengths])
        self._profiles = None

    def candidates(self, queries: Sequence, n: int) -> np.ndarray:
        """Numbers (N, n) int64 of the likeliest targets for every query, likeliest first.

        Raises:
            MissingExtra, DialectError: as `add`, or n below 1 or above the number of targets.
        """
        if not 1 <= n <= len(self):
            raise DialectError(f"{n} candidates are asked for; the index holds {len(self)} targets")
        if self._profiles is None:
            self._profiles = self._profiles_of(self.codes, self.lengths)
        shares, best = self._profiles
        codes, lengths = self._coded("queries", queries)
        found = np.empty((len(lengths), n), dtype=np.int64)
        for start, stop in cuts(lengths, BLOCK):
            frames = slice(lengths[:start].sum(), lengths[:stop].sum())
            query_shares, query_best = self._profiles_of(codes[frames], lengths[start:stop])
            scores = harmonic_mean((shares @ query_best.T).T, query_shares @ best.T)
            found[start:stop] = np.argsort(-scores, axis=1, kind="stable")[:, :n]
        return found

    def save(self, path: str | Path) -> None:
        """Write one .npz file, at once or not at all."""
        with whole_file(path) as unfinished, unfinished.open("wb") as file:
            np.savez(file, codebook=self.codebook, codes=self.codes, lengths=self.lengths)

    @classmethod
    def load(cls, path: str | Path) -> "FrameIndex":
        """Read what `save` wrote.

        Raises:
            CheckpointError: the file is missing, damaged, or none of these.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                index = cls(file["codebook"], file["codes"], file["lengths"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, TypeError) as error:
            raise CheckpointError(f"{path} cannot be read as an index of frames ({error}); build it again") from error
        if index.lengths.sum() != len(index.codes) or index.codes.max(initial=0) >= len(index.codebook):
            raise CheckpointError(f"{path} holds codes that do not fit its lengths or its codebook; build it again")
        return index

    def _coded(self, name: str, sequences: Sequence) -> tuple[np.ndarray, np.ndarray]:
        """Code of every frame, and frames of every sequence."""
        faiss = require("faiss", EXTRA)
        nearest = faiss.IndexFlatIP(self.codebook.shape[1])
        nearest.add(self.codebook)
        distinct = Sequences(name, sequences, self.codebook.shape[1])
        codes = []
        for part in cuts(distinct.lengths, BLOCK):
            frames = distinct.load(np.arange(*part))
            codes += np.split(nearest.search(frames.units, 1)[1][:, 0].astype(np.int32), frames.offsets[1:-1])
        return np.concatenate([codes[number] for number in distinct.number]), distinct.lengths[distinct.number]

    def _profiles_of(self, codes: np.ndarray, lengths: np.ndarray) -> tuple[sparse.csr_array, np.ndarray]:
        """Share of every code among a sequence's frames, and similarity of every code to its nearest of them (M, K)."""
        starts = np.concatenate([[0], np.cumsum(lengths)])
        shape = len(lengths), len(self.codebook)
        shares = sparse.csr_array((np.repeat(1 / lengths, lengths), codes, starts), shape=shape)
        similarity = self.codebook @ self.codebook.T
        best = [similarity[np.unique(part)].max(axis=0) for part in np.split(codes, starts[1:-1])]
        return shares, np.stack(best)
