"""aiohttp.web lives here and nowhere else: HTTP in, HTTP out."""
