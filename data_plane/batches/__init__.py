"""The gateway's own files and batches: kept on its disk, run line by line, whatever the provider."""
