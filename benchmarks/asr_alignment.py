"""Does training on transcripts alone bring varieties together? Speech recognition on the embedded corpus.

    python benchmarks/asr_alignment.py

The model of the recipe `zipformer_tiny`, a transducer with a CTC head that spells what it hears, is trained on seven of
the twelve varieties, on the training sentences and voices; nothing tells it which utterances say the same. Retrieval is
among the 20 sentences and 4 voices of the test split, which no system has trained on: every utterance of one variety
and voice is sought among the 20 of another variety and another voice. Pairs of varieties are apart by whether they are
of one language and whether the model was trained on them; es and es-419 are of a language that it has never heard.

Systems: log-mel features (40 bins every 20 ms, less the mean of each); the encoder before training; after training on
the transcripts; and two controls with the same initial weights, batches and steps: after training on random transcripts
(each as long as the real one, its characters drawn by their frequency), and after training on shuffled transcripts
(those of the ten sentences of a language that are most alike in length, dealt out anew among their utterances). All are
the weights after the last step. Frames as they are, and whitened on utterances of the training split; of the last
layer, and of the layer that finds most on validation (other sentences, other voices).

Everything stands in --out and is not done again, so the command can be stopped and started anew; --smoke runs all of it
in two minutes. Writes benchmarks/asr_alignment.md after every seed.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from datasets import DatasetDict
from reading import write_results
from transformers import set_seed
from variety_retrieval import (
    AS_THEY_ARE,
    BOTH_SEEN,
    SEEN,
    WHITENED,
    Parts,
    System,
    against,
    by_relation,
    cautions,
    hub_table,
    mel_frames,
    recall_table,
    retrieved,
    whitening_split,
    with_sites,
    write_frames,
)

from hf_dialects.cli import shell
from hf_dialects.data.audio import decode
from hf_dialects.data.load import load_corpus
from hf_dialects.data.randomness import generator
from hf_dialects.data.synthetic import VARIETIES
from hf_dialects.disk import whole_file
from hf_dialects.embedding_files import MANIFEST
from hf_dialects.evaluation.tables import with_interval
from hf_dialects.evaluation.transcripts import read_transcripts, score_transcripts
from hf_dialects.metrics import Interval
from hf_dialects.models.feature_extraction_zipformer import ZipformerFeatureExtractor
from hf_dialects.models.modeling_zipformer import ZipformerModel
from hf_dialects.recognition import load_recogniser, transcribe
from hf_dialects.retrieval.controls import SEQSIM
from hf_dialects.retrieval.draws import interval_over_pairs
from hf_dialects.retrieval.result import HEADLINE
from hf_dialects.retrieval.tables import markdown, percent
from hf_dialects.saving import save_for_hub
from hf_dialects.training.asr_data import asr_splits
from hf_dialects.training.asr_recipe import AsrRecipe, load_asr_recipe
from hf_dialects.training.asr_run import asr_arguments, build_recogniser, fit_asr
from hf_dialects.training.run_folder import open_run

MEL, BEFORE, REAL, RANDOM, SHUFFLED = "log-mel features", "before", "transcripts", "random", "shuffled"
NAMES = {
    BEFORE: "before training",
    REAL: "trained on transcripts",
    RANDOM: "trained on random transcripts",
    SHUFFLED: "trained on shuffled transcripts",
}
ARMS = (REAL, RANDOM, SHUFFLED)
SETTINGS = (  # length and rate were chosen by character errors on validation, of seed 0 with real transcripts
    *("training.max_steps=1600", "training.batch_seconds=20", "training.learning_rate=3e-3", "training.threads=1"),
    *("training.eval_strategy=steps", "training.save_strategy=steps", "training.eval_steps=400"),
    *("training.save_steps=400", "training.load_best_model_at_end=false", "training.average_weights_every=null"),
)
SMOKE = ("training.max_steps=4", "training.eval_steps=2", "training.save_steps=2")
ALIKE = 10  # sentences of a language whose transcripts are dealt out anew among each other
LAST, CHOSEN = "last layer", "layer chosen on validation"
FRAME_RATES_HZ = (50.0, 25.0)  # of the hidden states, of the output


def recipe_of(seed: int, overrides: Sequence[str]) -> AsrRecipe:
    """The recipe of all arms, for weights from scratch."""
    return load_asr_recipe("zipformer_tiny", [f"data.labels=[{','.join(SEEN)}]", f"seed={seed}", *SETTINGS, *overrides])


def texts_of(arm: str, split) -> list[str]:
    """The transcripts on which an arm is trained, in the order of the rows."""
    texts = list(split["text"])
    if arm == RANDOM:
        counts = Counter("".join(texts).replace(" ", ""))  # no spaces: runs of them would be one
        characters, shares = list(counts), np.array(list(counts.values())) / counts.total()
        return [
            "".join(generator(0, 0, id, RANDOM).choice(characters, len(text), p=shares))
            for id, text in zip(split["id"], texts, strict=True)
        ]
    return dealt_out(split, texts) if arm == SHUFFLED else texts


def dealt_out(split, texts: Sequence[str]) -> list[str]:
    """Transcripts of the sentences of a language that are most alike in length, each given to any of their rows."""
    names = split.features["dialect"].int2str(split["dialect"][:])
    table = pd.DataFrame({"language": [VARIETIES[name][1] for name in names], "text": texts})
    for language, of_language in table.groupby("language"):
        sentences = sorted(of_language["text"].unique(), key=lambda text: (len(text), text))
        for start in range(0, len(sentences), ALIKE):
            there = of_language["text"][of_language["text"].isin(sentences[start : start + ALIKE])]
            order = generator(0, 0, f"{language} {start}", SHUFFLED).permutation(len(there))
            table.loc[there.index, "text"] = there.to_numpy()[order]
    return table["text"].tolist()


def before(recipe: AsrRecipe, splits: DatasetDict, folder: Path) -> Path:
    """The weights that every arm of a seed starts with, and the vocabulary, as a recogniser."""
    if not (folder / "config.json").is_file():
        set_seed(recipe.seed)
        model, extractor, tokenizer = build_recogniser(recipe, splits["train"])
        save_for_hub(model, extractor, folder, tokenizer)
    return folder


def trained(arm: str, recipe: AsrRecipe, splits: DatasetDict, start: Path, folder: Path) -> Path:
    """Run folder of an arm."""
    data = {name: value for name, value in recipe.data.items() if name != "tokens"}
    recipe = replace(recipe, data=data, model={"pretrained": str(start)}, description=NAMES[arm])
    open_run(recipe, folder)
    if not (folder / "model" / "config.json").is_file():
        train = splits["train"].remove_columns("text").add_column("text", texts_of(arm, splits["train"]))
        arguments = asr_arguments(recipe, folder, progress=False)
        fit_asr(DatasetDict(train=train, validation=splits["validation"]), recipe, arguments, folder)
    return folder


def errors(run: Path, split, path: Path, draws: int) -> dict[str, dict]:
    """Variety, or "" for all → rates of a greedy search, with intervals over voices × sentences."""
    if not path.is_file():
        rows = pd.DataFrame({name: list(split[name]) for name in ("id", "speaker", "sentence_id", "text")})
        rows["dialect"] = split.features["dialect"].int2str(split["dialect"][:])
        rows["hypothesis"] = transcribe(*load_recogniser(run), split["audio"], lengths=split["duration"])
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as unfinished:
            rows.to_csv(unfinished, index=False)
    both = (read_transcripts(path, column) for column in ("text", "hypothesis"))
    scores = score_transcripts(*both, by=("dialect",), draws=draws)["scores"]
    return {row["value"] if row["column"] else "": row for row in scores}


@torch.inference_mode()
def layer_frames(run: Path, dataset, folder: Path) -> list[Path]:
    """Frames of all layers, 0 (input of the first stack) to n (the output), each as an embedding folder."""
    source = run / "model" if (run / "model").is_dir() else run
    encoder = ZipformerModel.from_pretrained(source).eval()
    layers = range(encoder.config.num_hidden_layers + 1)
    folders = [folder / f"layer-{layer}" for layer in layers]
    if not (folders[-1] / MANIFEST).is_file():
        extractor = ZipformerFeatureExtractor.from_pretrained(source)
        dataset = dataset.select(np.argsort(dataset["id"][:]))
        found = []
        for cell in dataset["audio"]:
            waveform = decode(cell, extractor.sampling_rate)
            output = encoder(**extractor([waveform], return_tensors="pt"), output_hidden_states=True)
            states = (*output.hidden_states[:-1], output.last_hidden_state)
            found.append([state[0].numpy() for state in states])
        for layer, frames in enumerate(zip(*found, strict=True)):
            rate = FRAME_RATES_HZ[layer == layers[-1]]
            made_of = {"run": f"{run.parent.name}/{run.name}", "layer": layer}
            write_frames(folders[layer], dataset, frames, rate, made_of, layer)
    return folders


def scan(run: Path, splits: Mapping, out: Path) -> dict[str, list[float]]:
    """Kind of frames → recall@1 on validation of every layer, between varieties of one language that are trained on."""
    path = out / "layers.json"
    if not path.is_file():
        folders = {name: layer_frames(run, split, out / name) for name, split in splits.items()}
        found = {AS_THEY_ARE: [], WHITENED: []}
        for frames, others in zip(folders["validation"], folders["train"], strict=True):
            for kind, result in retrieved(frames, others, splits["validation"], out / "scores", controls=()):
                found[kind].append(by_relation(result)[BOTH_SEEN].value)
        path.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


def gains(after: Sequence[Parts], other: Sequence[Parts], draws: int) -> dict[str, Interval]:
    """Relation → recall@1 of SeqSim less that of others, mean over seeds, with an interval over sites × sentences."""
    found = {}
    for relation, one in after[0].items():
        credits = [
            np.mean([parts[relation].outcomes[SEQSIM].credit[HEADLINE] for parts in side], axis=0)
            for side in (after, other)
        ]
        sides = one.source, one.target, one.sentence
        found[relation] = interval_over_pairs(*sides, credits[0] - credits[1], one.parallel.group_of_site, draws)
    return found


def gain_table(results: Mapping[System, Parts], seeds: int, draws: int) -> str:
    """What training on transcripts added to every other system, a row per system, kind and layer."""
    rows = {}
    for layer in (LAST, CHOSEN):
        for kind in (AS_THEY_ARE, WHITENED):
            after = [results[system(REAL, seed, layer), kind] for seed in range(seeds)]
            for other in (BEFORE, RANDOM, SHUFFLED):
                less = [results[system(other, seed, layer), kind] for seed in range(seeds)]
                rows[f"less {NAMES[other]}, {kind}, {layer}"] = {
                    relation: f"{100 * one.value:+.1f} [{100 * one.low:+.0f}, {100 * one.high:+.0f}]"
                    for relation, one in gains(after, less, draws).items()
                }
    return markdown(pd.DataFrame(rows).T, "points of recall@1")


def system(arm: str, seed: int, layer: str) -> str:
    """What a row of a table is called."""
    return f"{NAMES[arm]}, seed {seed}, {layer}"


def error_table(found: Mapping[int, Mapping[str, dict]]) -> str:
    """Character error rate of every variety, a column per seed."""
    rows = {}
    for variety in found[0]:
        row = {"trained on": "" if not variety else "yes" if variety in SEEN else "no"}
        row["utterances"] = str(found[0][variety]["n"])
        for seed, of_seed in found.items():
            cer = of_seed[variety]["cer"]
            row[f"CER, seed {seed}"] = with_interval(cer)
            kinds = ("substitutions", "deletions", "insertions")
            row[f"sub. / del. / ins., seed {seed}"] = " / ".join(f"{cer[kind] / cer['length']:.2f}" for kind in kinds)
        rows[variety or "all"] = row
    return markdown(pd.DataFrame(rows).T, "variety")


def learnt_table(learnt: Mapping[tuple[str, int], dict], unseen: Mapping[tuple[str, int], Mapping]) -> str:
    """Character error rates of all arms."""
    rows = {
        f"{NAMES[arm]}, seed {seed}": {
            "training utterances": with_interval(row["cer"]),
            "test utterances": with_interval(unseen[arm, seed][""]["cer"]),
        }
        for (arm, seed), row in learnt.items()
    }
    return markdown(pd.DataFrame(rows).T, "CER")


def layer_curves(curves: Mapping[System, Sequence[float]]) -> str:
    """Recall@1 on validation of every layer."""
    table = pd.DataFrame({", ".join(row): values for row, values in curves.items()}).T
    return markdown(percent(table), "recall@1 on validation, %")


def controls_of(results: Mapping[System, Parts], relation: str) -> str:
    """Every system against its controls, in one relation of varieties."""
    rows = {", ".join(row): against(parts[relation]) for row, parts in results.items()}
    return markdown(percent(pd.DataFrame(rows).T), "recall@1, %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="of the recipe, such as training.max_steps=20")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--draws", type=int, default=500, help="of the intervals")
    parser.add_argument("--out", type=Path, default=Path("runs/asr-alignment"))
    parser.add_argument("--report", type=Path, default=Path(__file__).with_suffix(".md"))
    parser.add_argument("--smoke", action="store_true", help="a few steps on a few utterances, one seed, no report")
    options = parser.parse_intermixed_args()
    shell.start()
    torch.set_num_threads(1)
    overrides, corpus = list(options.overrides), load_corpus("demo")
    if options.smoke:
        options.seeds, options.draws, options.out = 1, 20, options.out / "smoke"
        options.report = options.out / "asr_alignment.md"
        overrides += SMOKE
        corpus = DatasetDict({name: few(corpus[name]) for name in corpus})
    sited = {name: with_sites(corpus[name]) for name in ("validation", "test")}
    sited["train"] = with_sites(whitening_split(corpus))
    splits, _, _ = asr_splits(recipe_of(0, overrides).data, progress=False)
    scores, results, hubs, curves, learnt, unseen = options.out / "scores", {}, {}, {}, {}, {}
    mel = {name: options.out / "frames" / MEL.replace(" ", "-") / name for name in ("test", "train")}
    for name, folder in mel.items():
        mel_frames(sited[name], folder)
    for kind, result in retrieved(mel["test"], mel["train"], sited["test"], scores):
        results[MEL, kind], hubs[MEL, kind] = by_relation(result), result.hubs
    for seed in range(options.seeds):
        recipe = recipe_of(seed, overrides)
        runs = {BEFORE: before(recipe, splits, options.out / "runs" / f"{BEFORE}-{seed}")}
        for arm in ARMS:
            runs[arm] = trained(arm, recipe, splits, runs[BEFORE], options.out / "runs" / f"{arm}-{seed}")
            some = whitening_split(corpus)
            told = dict(zip(splits["train"]["id"], texts_of(arm, splits["train"]), strict=True))
            some = some.remove_columns("text").add_column("text", [told[id] for id in some["id"]])
            folder = options.out / "transcripts" / f"{arm}-{seed}"
            learnt[arm, seed] = errors(runs[arm], some, folder / "train.csv", options.draws)[""]
            unseen[arm, seed] = errors(runs[arm], corpus["test"], folder / "test.csv", options.draws)
            _tell(f"{NAMES[arm]}, seed {seed}")
        for arm, run in runs.items():
            folder = options.out / "frames" / f"{arm}-{seed}"
            for kind, curve in scan(run, sited, folder).items():
                curves[f"{NAMES[arm]}, seed {seed}", kind] = curve
                best = len(curve) - 1 - int(np.argmax(curve[::-1]))  # the higher one of equal layers
                for name, layer in {LAST: len(curve) - 1, CHOSEN: best}.items():
                    paths = (folder / split / f"layer-{layer}" for split in ("test", "train"))
                    ((_, result),) = retrieved(*paths, sited["test"], scores, (kind,))
                    key = system(arm, seed, name), kind
                    results[key], hubs[key] = by_relation(result), result.hubs
            _tell(f"retrieval {NAMES[arm]}, seed {seed}")
        write_results(options.report, page(options, results, hubs, curves, learnt, unseen))
    print(options.report)


def page(options: argparse.Namespace, results: dict, hubs: dict, curves: dict, learnt: dict, unseen: dict) -> list[str]:
    """Lines of the results file; of the seeds that are finished."""
    seeds = len({seed for _, seed in learnt})
    command = " ".join(["python benchmarks/asr_alignment.py", f"--seeds {options.seeds}", *options.overrides])
    lines = [
        "# Retrieval between varieties before and after training on transcripts",
        f"`{command}`, {', '.join(SETTINGS)}",
        *__doc__.split("\n\n")[2:4],
        f"Trained on: {', '.join(SEEN)}. Nothing was chosen on test. **The corpus is formant-synthesised: accents are "
        "rules that change sounds; words, their order and most of the spelling stay. Error rates say nothing about "
        f"people, and no gain on real dialects follows; seeds ({seeds}) are too few for their variance.**",
        "**Mind:** time warping of mel frames, which no training made, finds at rank 1",
        cautions(results, options.draws),
        "## Character errors on unseen sentences of unseen voices",
        "Greedy search of the transducer; trained on the real transcripts; 95 % intervals over voices × sentences.",
        error_table({seed: unseen[REAL, seed] for seed in range(seeds)}),
        "What the arms have learnt: their own transcripts of training utterances, the real ones of test utterances.",
        learnt_table(learnt, unseen),
        "## What training on transcripts added",
        "Recall@1 of SeqSim, mean over ordered pairs of sites (variety and voice) and over seeds; intervals over sites "
        "× sentences.",
        gain_table(results, seeds, options.draws),
        "## SeqSim",
        recall_table(results, options.draws),
        "## Layers",
        f"On validation, {BOTH_SEEN}: 0 is the input of the first stack, the last one the output of the encoder at "
        "half the frame rate.",
        layer_curves(curves),
        "## Beside its controls",
    ]
    for relation in results[MEL, AS_THEY_ARE]:
        lines += [f"### {relation[0].upper()}{relation[1:]}", controls_of(results, relation)]
    lines += ["## Hubs", "Over all pairs of sites.", hub_table(hubs)]
    return "\n\n".join(lines).split("\n")


def few(split):
    """Four utterances of every variety and voice."""
    place = pd.DataFrame({name: list(split[name]) for name in ("dialect", "speaker")})
    return split.select(place.index[place.groupby(["dialect", "speaker"]).cumcount() < 4].tolist())


def _tell(done: str) -> None:
    print(f"{done}: {time.process_time() / 60:.1f} min", flush=True)


if __name__ == "__main__":
    shell.run(main)
