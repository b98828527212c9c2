"""ActDistill: a student that chooses its own layers, taught by a frozen teacher.

ActDistill: General Action-Guided Self-Derived Distillation for Efficient Vision-Language-Action
Models, arXiv 2511.18082. Nothing of this folder is needed at inference; docs/actdistill.md says
where the parts are and where they leave the paper.
"""
