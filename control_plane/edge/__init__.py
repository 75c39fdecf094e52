"""The process that gateways talk to: heads by long poll, blobs, status, ingest.  aiohttp, because polls are held."""
