"""Vision tower -> projector -> language layers -> action head, in the shape of CogACT (arXiv 2411.19650)."""
