"""Templates, styles and scripts of the pages, put together so that a page needs no other file."""

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

PACKAGE, ASSETS = "hf_dialects.report", "assets"


def filled(template: str, styles: Sequence[str], scripts: Sequence[str], **values) -> str:
    """A page's text. Every value is escaped.

    Args:
        template: file among the assets. It gets `style`, `script` and `digest`, the hash (base64 of SHA-256) by which
            the page's policy lets this script run, and no other, whatever labels and names hold.
        styles, scripts: files among the assets, joined in this order.
        values: what else the template shows.
    """
    templates = Environment(
        loader=PackageLoader(PACKAGE, ASSETS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = (_joined(names) for names in (styles, scripts))
    digest = b64encode(sha256(script.encode()).digest()).decode()
    return templates.get_template(template).render(style=Markup(style), script=Markup(script), digest=digest, **values)


def _joined(names: Sequence[str]) -> str:
    return "\n".join(files(PACKAGE).joinpath(ASSETS, name).read_text("utf-8") for name in names)
