"""Writes the pages of the site: those in `docs/`, the README and its neighbours, the recipes, and the sources they link to.

    python site/pages.py FOLDER

A link to a path that is not in the repository is an error.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import sys
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent
RECIPES = "examples/recipes"
# Names that a recipe's head may cite, under which it is found.
FRAMEWORKS = (
    "verl",
    "TRL",
    "OpenRLHF",
    "AReaL",
    "slime",
    "NeMo-RL",
    "prime-rl",
    "ROLL",
    "ms-swift",
    "SkyRL",
    "Tinker",
    "torchrl",
)
LINK = re.compile(r"(\]\()([^)\s]+)(\))")
IMAGES = (".png", ".svg", ".gif")
FENCES = {
    ".py": "python",
    ".rs": "rust",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".toml": "toml",
    ".sh": "bash",
    ".aent": "aent",
}


class Site:
    """The pages so far, by their places in the site, and where each comes from in the repository."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.paths: dict[str, str] = {}
        self.pages: dict[str, str] = {}

    def add(self, path: str, page: str, text: str) -> None:
        """Makes a page of a path in the repository."""
        self.texts[page], self.paths[page], self.pages[path] = text, path, page

    def target(self, page: str, link: str) -> tuple[str, str] | None:
        """The path in the repository that a link leads to, and its anchor; none for a link out of it or inside the page."""
        link, mark, anchor = unquote(link).partition("#")
        if not link or re.match(r"[a-z]+:", link):
            return None
        path = os.path.normpath(Path(self.paths[page]).parent / link)
        if not (ROOT / path).exists():
            sys.exit(f"{self.paths[page]}: the link `{link}` leads to `{path}`, which is not in the repository")
        return (f"{path}/README.md" if (ROOT / path / "README.md").exists() else path), mark + anchor

    def linked(self) -> set[str]:
        """All paths that pages link to and that are no images."""
        links = ((page, link[1]) for page, text in self.texts.items() for link in LINK.findall(text))
        found = {target[0] for page, link in links if (target := self.target(page, link))}
        return {path for path in found if Path(path).suffix not in IMAGES}

    def written(self, page: str) -> str:
        """A page's text, with its links in the repository as links between pages."""

        def replaced(found: re.Match[str]) -> str:
            target = self.target(page, found[2])
            if target is None:
                return found[0]
            path, anchor = target
            place = self.pages.get(path, path.removeprefix("docs/"))
            return f"{found[1]}{os.path.relpath(place, Path(page).parent)}{anchor}{found[3]}"

        return LINK.sub(replaced, self.texts[page])


def main() -> None:
    """Collects the pages and writes them with their images."""
    site = Site()
    for path in sorted((ROOT / "docs").glob("*.md")):
        site.add(f"docs/{path.name}", path.name, path.read_text(encoding="utf-8"))
    for name in ("README", "ARCHITECTURE", "CONTRIBUTING", "CHANGELOG", "SECURITY"):
        site.add(f"{name}.md", "index.md" if name == "README" else f"{name}.md", text(f"{name}.md"))
    site.add(f"{RECIPES}/README.md", "recipes/index.md", text(f"{RECIPES}/README.md"))
    families = families_of(text(f"{RECIPES}/README.md"))
    recipes = [Recipe(path, families) for path in sorted((ROOT / RECIPES).glob("*.aent"))]
    for recipe in recipes:
        site.add(f"{RECIPES}/{recipe.name}.aent", f"recipes/{recipe.name}.md", recipe.page())
    site.add(f"{RECIPES}/by-name", "recipes/by-name.md", by_name(recipes))
    while found := site.linked() - site.pages.keys():
        for path in sorted(found):
            site.add(path, f"source/{path}.md".replace("/README.md.md", "/README.md"), source(path))
    root = Path(sys.argv[1])
    folder = root / "pages"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(ROOT / "docs/images", folder / "images")
    for page in site.texts:
        place = folder / page
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(site.written(page), encoding="utf-8")
    shutil.copy(ROOT / "site/mkdocs.yml", root)


def text(path: str) -> str:
    """A file of the repository."""
    return (ROOT / path).read_text(encoding="utf-8")


def source(path: str) -> str:
    """A page of a file's text, or of a folder's files."""
    place = ROOT / path
    if place.is_dir():
        names = sorted(entry.name for entry in place.iterdir() if entry.is_file())
        listed = "\n".join(f"- [`{name}`]({place.name}/{name})" for name in names)
        return f"# `{path}`\n\n{listed}\n"
    if place.suffix == ".md":
        return text(path)
    return f"# `{path}`\n\n{fenced(text(path), FENCES.get(place.suffix, 'text'))}"


def fenced(code: str, language: str) -> str:
    """A block of code."""
    return f"````{language}\n{code.rstrip()}\n````\n"


def families_of(readme: str) -> dict[str, str]:
    """The heading under which the README lists each recipe."""
    families, heading = {}, ""
    for line in readme.splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        elif found := re.match(r"- \[`(\w+)\.aent`\]", line):
            families[found[1]] = heading
    return families


class Recipe:
    """A file, its head as prose, its family, and what the head cites."""

    def __init__(self, path: Path, families: dict[str, str]) -> None:
        self.name = path.stem
        self.code = path.read_text(encoding="utf-8")
        head = itertools.takewhile(lambda line: line.startswith("#"), self.code.splitlines())
        self.prose = " ".join(line.removeprefix("#").strip() for line in head)
        self.family = families[self.name]
        self.frameworks = [of for of in FRAMEWORKS if re.search(rf"\b{re.escape(of)}\b", self.prose)]
        self.papers = list(dict.fromkeys(re.findall(r"\b\d{4}\.\d{4,5}\b", self.prose)))

    def page(self) -> str:
        """The head as prose, and the file as code."""
        prose = re.sub(r"\barXiv (\d{4}\.\d{4,5})", r"[arXiv \1](https://arxiv.org/abs/\1)", self.prose)
        of = f"Family: {self.family}." + (f" Cited: {', '.join(self.frameworks)}." if self.frameworks else "")
        return f"# {self.name}\n\n{prose}\n\n{fenced(self.code, 'aent')}\n{of}\n"


def by_name(recipes: list[Recipe]) -> str:
    """The recipes of each framework and of each paper."""

    def listed(recipe: Recipe) -> str:
        return f"[`{recipe.name}`]({recipe.name}.aent)"

    lines = ["# Recipes by framework and paper", "", "## Frameworks", ""]
    for framework in FRAMEWORKS:
        if found := [listed(recipe) for recipe in recipes if framework in recipe.frameworks]:
            lines.append(f"- **{framework}**: {', '.join(found)}")
    lines += ["", "## Papers", "", "| arXiv | |", "| --- | --- |"]
    for paper in sorted({paper for recipe in recipes for paper in recipe.papers}):
        found = [listed(recipe) for recipe in recipes if paper in recipe.papers]
        lines.append(f"| [{paper}](https://arxiv.org/abs/{paper}) | {', '.join(found)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
