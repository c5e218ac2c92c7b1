"""How Sphinx builds the documentation: ``make docs``."""

import sys
from pathlib import Path

from amun import __version__

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "Amun"
author = "the authors of Amun"
release = __version__
extensions = ["settings_reference", "openapi_reference", "links"]
exclude_patterns = ["_build"]
highlight_language = "text"
html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["wide.css"]
html_title = f"Amun {release}"
html_copy_source = False
html_show_copyright = False
html_show_sourcelink = False
