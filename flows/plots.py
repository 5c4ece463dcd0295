"""Write the page that `dvc plots show` and `dvc plots diff` fill: DVC's own, with Vega inlined, so that it needs no network.

DVC's built-in page loads Vega from a CDN and is blank without one. `.dvc/config` names this file instead (`plots.html_template`).
It is 0.9 MB of generated JavaScript, so `make setup` writes it and Git ignores it. Run: `python -m flows.plots`.
"""

import sys
from pathlib import Path

PAGE = Path(".dvc/plots-offline.html")
# What dvc_render.html.HTML replaces. `{scripts}` is left out on purpose: it would load Vega from the CDN again.
LAYOUT = """<!DOCTYPE html>
<html lang="en">
<head>
    <meta charset="utf-8">
    {refresh_tag}
    <title>DVC Plot</title>
    <script>SCRIPT</script>
    <style>
        body { font-family: sans-serif; margin: 2em; }
        body > div { margin-bottom: 3em; }
        table { border-spacing: 15px; }
    </style>
</head>
<body>
    {plot_divs}
</body>
</html>
"""


def page() -> str:
    """Return the HTML template.

    Raises:
        ValueError: the bundled JavaScript cannot stand inside an HTML page that DVC fills.
    """
    import vl_convert

    script = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    for text in ("</script", "<!--", "{scripts}", "{plot_divs}", "{refresh_tag}"):
        if text in script:
            raise ValueError(
                f"the JavaScript that vl-convert-python bundles contains {text!r}, which would break the page of `dvc plots`;"
                " install another version of vl-convert-python"
            )
    return LAYOUT.replace("SCRIPT", script)


def main() -> int:
    """Write the page into the repository of the current folder."""
    from tasks.core.files import whole

    if not PAGE.parent.is_dir():
        print(f"found no {PAGE.parent} folder here: run this in the root of the repository", file=sys.stderr)
        return 1
    with whole(PAGE) as temporary:
        temporary.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
