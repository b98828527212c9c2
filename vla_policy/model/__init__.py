"""Vision tower -> projector -> language layers -> action head, as CogACT (arXiv 2411.19650)."""
