"""Released checkpoints of other people's policies, in our modules: CogACT and OpenVLA.

Both are Prismatic models (arXiv 2402.07865): DINOv2 and SigLIP side by side, a projector, Llama-2.
CogACT (arXiv 2411.19650) adds a diffusion transformer, OpenVLA (arXiv 2406.09246) writes its action
as words. They are read tensor by tensor into modules that ask the same plan as ours, so that the
same recipes apply; no code of a checkpoint runs, and nothing is unpickled but tensors.
"""
