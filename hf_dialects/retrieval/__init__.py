"""Which utterance of another dialect says the same: SeqSim, exact search, the site x site benchmark. Layer 2.

Takes frames (T, D) of any encoder, as `hf_dialects.read_frames` gives them, and a table of attributes.

    from hf_dialects.retrieval import retrieval_benchmark

    result = retrieval_benchmark(frames, attributes, site="site", sentence_id="sentence_id", group="cluster")
    print(result.to_markdown(), result.interval())
"""

from hf_dialects.lazy import lazy_names

_MODULES = {
    "seqsim": "scores",
    "seqsim_matrix": "scores",
    "search": "top_k",
    "FrameIndex": "frame_index",
    "FrameStatistics": "centring",
    "csls": "hubness",
    "k_occurrence": "hubness",
    "skewness": "hubness",
    "retrieval_benchmark": "benchmark",
    "RetrievalResult": "result",
}

__all__ = sorted(_MODULES)

__getattr__, __dir__ = lazy_names(globals(), _MODULES)
