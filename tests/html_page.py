"""The parts of an HTML page that tests ask for."""

import html.parser
import re

from smartgrowth.rendering import html as templates


class Page(html.parser.HTMLParser):
    """tags: (name, attributes) of each; rows: cells of each table row; text."""

    def __init__(self, source: str):
        super().__init__()
        self.source = source
        self.tags, self.words, self.rows = [], [], []
        self.feed(source)
        self.text = re.sub(r"\s+", " ", " ".join(self.words))
        self.images = [fields for tag, fields in self.tags if tag == "img"]

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])

    def handle_data(self, data):
        self.words.append(data)
        if self.tags[-1:] and self.tags[-1][0] in ("td", "th") and data.strip():
            self.rows[-1].append(data)


def check_offline(page: Page) -> None:
    """Asserts that no request leaves the page, and that it runs no script."""
    ids = {fields["id"] for _, fields in page.tags if "id" in fields}
    for tag, fields in page.tags:
        assert tag not in ("script", "link", "iframe", "object", "base")
        for name in ("src", "srcset", "xlink:href"):
            assert fields.get(name, "data:").startswith("data:")
        if "href" in fields:
            assert fields["href"].removeprefix("#") in ids
            assert fields["href"].startswith("#")
        assert not any(name.startswith("on") for name in fields)
    assert not re.search(r"https?://|url\(|@import", page.source)


def section(template: str, macro: str, *values) -> Page:
    """Returns what one macro of a template makes of some values."""
    module = templates.environment().get_template(template).module
    return Page(str(getattr(module, macro)(*values)))
