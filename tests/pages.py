"""HTML pages as tests look at them."""

from html.parser import HTMLParser

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Collects ids, links, references and checks that tags close."""

    def __init__(self):
        super().__init__()
        self.stack, self.ids, self.links, self.references, self.faults = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if "id" in given and tag in ("h2", "h3"):
            self.ids.append(given["id"])
        if tag == "a":
            self.links.append(given.get("href"))
        self.references += [given[k] for k in ("src", "data", "srcset") if given.get(k)]
        if tag == "link":
            self.references.append(given.get("href"))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        if not self.stack or self.stack.pop() != tag:
            self.faults.append(tag)


def parse(html):
    page = Page()
    page.feed(html)
    return page
