"""Pages as a browser gets them: a client that is signed in, and what a page's HTML holds."""

from html.parser import HTMLParser

from django.test import Client

from tests.control_plane.factories import make_member

VOID = {"meta", "link", "input", "br", "hr", "img"}


class Page(HTMLParser):
    """A parsed page: every element with its attributes, the text, and what is not balanced."""

    def __init__(self, answer):
        super().__init__()
        self.elements, self.open, self.unbalanced, self.words = [], [], [], []
        self.feed(answer.content.decode())
        self.close()
        self.unbalanced += self.open
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()
        else:
            self.unbalanced.append(tag)

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag):
        """The attributes of every element of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]

    def links(self):
        """Where the page leads."""
        return [attributes["href"] for attributes in self.all("a")]


def signed_in(user, *, enforce_csrf_checks=False):
    """A browser in which `user` is signed in."""
    client = Client(enforce_csrf_checks=enforce_csrf_checks)
    client.force_login(user)
    return client


def owner_of(tenant):
    """A browser of an owner of the tenant."""
    return signed_in(make_member(tenant, "owner"))
