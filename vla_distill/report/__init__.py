"""Pictures of what happened: videos, contact sheets and HTML reports."""
