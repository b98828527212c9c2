"""FT-NCFM (arXiv 2511.16233): which samples teach, and small sets that teach as much.

A **sample** is a frame with the chunk of actions that followed it. A **guide** (a policy trained
for 15 % of a full run) says what each would change; a **tracer** turns that into a score,
**contrast** checks the best ones against counter-examples in the simulator, **weights** come of
both, and an **arm** chooses or makes the small set. ``distill.py`` is the whole way. Where the
paper is silent or left, the file that decides says so.
"""
