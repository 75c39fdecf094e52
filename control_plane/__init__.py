"""The control plane: Django, DRF and Celery; where the truth about organisations, keys and configs is kept."""
