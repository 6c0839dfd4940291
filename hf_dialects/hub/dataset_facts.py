"""What a dataset script says of its corpus, and whether the corpus may be shared."""

from dataclasses import dataclass
from types import ModuleType

from hf_dialects.data.prepare import licence_tag
from hf_dialects.errors import CorpusError

ALLOWED, WITH_TERMS, BY_ROW, REFUSED = "allowed", "with terms", "by row", "refused"
OTHER = "other"  # the Hub's tag of a licence it has no name for


@dataclass(frozen=True)
class Facts:
    """Of a corpus, for its card.

    Attributes:
        title: one line.
        text: Markdown.
        licence: for people.
        licence_tag: as the Hub names it, such as "cc-by-4.0", or "other".
        citation: of the source.
        sharing: "allowed"; "with terms", which somebody has to accept; "by row", where a column `license` decides; or
            "refused".
        reason: why so; the terms.
        languages: ISO 639 codes of all recordings; empty where the rows or the registry of varieties say it.
    """

    title: str
    text: str
    licence: str
    licence_tag: str
    citation: str
    sharing: str = ALLOWED
    reason: str = ""
    languages: tuple[str, ...] = ()


def facts_of(script: ModuleType) -> Facts:
    """Of one of the dataset scripts. Without `SHARING` in it, sharing is refused."""
    title, _, text = (script.__doc__ or "").strip().partition("\n")
    given = getattr(script, "SHARING", f"{REFUSED}: the script does not say in SHARING whether it may be shared")
    sharing, _, reason = given.partition(": ")
    return Facts(
        title=title.rstrip("."),
        text=text.strip(),
        licence=script.LICENSE,
        licence_tag=licence_tag(script),
        citation=script.CITATION,
        sharing=sharing,
        reason=reason,
        languages=tuple(getattr(script, "LANGUAGES", ())),
    )


def licence_to_share(facts: Facts, license: str | None = None, accept_terms: bool = False) -> str:
    """The licence that a corpus goes up under, as the Hub names it.

    Args:
        license: asked for; None takes the corpus' own.
        accept_terms: somebody has read the terms and meets them.

    Raises:
        CorpusError: the corpus may not be shared, or not without its terms, or not under this licence, or names none.
    """
    if facts.sharing not in (ALLOWED, WITH_TERMS, BY_ROW):
        raise CorpusError(f"{facts.title} is not shared: {facts.reason}. Share a script or a split instead, not audio")
    if facts.sharing == WITH_TERMS and not accept_terms:
        raise CorpusError(
            f"{facts.title} may be shared under terms only: {facts.reason}. Where your copy meets them, say so with "
            "--accept-terms"
        )
    if facts.licence_tag == OTHER and not license:
        raise CorpusError(
            f"a license is missing ({facts.title}: {facts.licence}): name it with --license as the Hub does, such as "
            "cc-by-nc-sa-4.0, or other where the rows differ"
        )
    if facts.licence_tag != OTHER and license not in (None, facts.licence_tag):
        raise CorpusError(
            f"{facts.title} is under {facts.licence_tag} and is not ours to put under {license}: leave --license out"
        )
    return license or facts.licence_tag
