"""One HTML page, complete in itself: the most and least valuable samples of a dataset, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from vla_distill.report.charts import INK, SERIES, STYLE, new_figure, to_svg
from vla_distill.report.page import jpeg, render

if TYPE_CHECKING:
    from vla_distill.ftncfm.contrast import Contrast
    from vla_distill.ftncfm.pool import Pool
    from vla_distill.ftncfm.scoring import Scores

SHOWN = 12
"""Samples at each end."""
CLOSE = 0.01
"""Alignments nearer to each other than this count as the same."""


@dataclass(frozen=True)
class SamplesPage:
    """What the page tells.

    Attributes:
        pool: the samples.
        scores: of them.
        weight: of each, sums to 1. Shape (M,).
        contrast: row -> what verification found.
        chosen: which were kept. Shape (K,).
    """

    pool: Pool
    scores: Scores
    weight: NDArray[np.floating]
    contrast: Mapping[int, Contrast]
    chosen: NDArray[np.int64]

    def write(self, path: Path, summary: Mapping[str, Any]) -> None:
        """Write the page.

        Args:
            path: the HTML file.
            summary: provenance.
        """
        settings = summary["settings"]
        known = np.flatnonzero(self.scores.finite)
        order = known[np.lexsort((-self.scores.score[known], -self.weight[known]))]
        worst = known[np.argsort(self.scores.score[known])]
        few = min(SHOWN, len(known) // 2)
        text = render(
            "samples_page.html.jinja",
            title="Which samples teach",
            subtitle=f"{settings['data']}, traced by {settings['tracer']}; arm {settings['arm']},"
            f" {settings['ratio']:.2%} of the {settings['unit']}",
            figures=self._figures(summary),
            chart=self._chart(),
            tasks=self._tasks(),
            phases=list(next(iter(summary["kept_by_task_and_phase"].values()))),
            sections=[
                {
                    "title": "Most valuable",
                    "hint": "By weight: training on them lowers the loss on held-out episodes.",
                    "cards": [self._card(int(index)) for index in order[:few]],
                },
                {
                    "title": "Least valuable",
                    "hint": "By score: training on them raises the loss on held-out episodes.",
                    "cards": [self._card(int(index)) for index in worst[:few]],
                },
            ],
            footer=[
                {"name": "source", "value": summary["source_hash"][:16]},
                {"name": "seed", "value": str(settings["seed"])},
                {"name": "command", "value": summary["command"]},
                {"name": "commit", "value": summary["commit"]},
            ],
        )
        path.write_text(text, encoding="utf-8")

    def _figures(self, summary: Mapping[str, Any]) -> list[dict[str, str]]:
        harmful = float((self.scores.score[self.scores.finite] <= 0).mean())
        confirmed = sum(bool(found.template) for found in self.contrast.values())
        return [
            {"name": "samples in the dataset", "value": f"{summary['source_samples']:,}"},
            {"name": "kept", "value": f"{summary['kept_samples']:,}"},
            {"name": "that carry the weight (effective)",
             "value": f"{summary['effective_samples']:,.0f}"},
            {"name": "harmful at the guide", "value": f"{harmful:.0%}"},
            {"name": "with a confirmed counter-example",
             "value": f"{confirmed} of {len(self.contrast)}" if self.contrast else "-"},
            {"name": "without a finite gradient", "value": str(summary["unusable_samples"])},
        ]  # fmt: skip

    def _tasks(self) -> list[dict[str, Any]]:
        """A row a task: its share of the samples, of the weight, and what was kept, by phase."""
        rows = []
        kept = np.isin(np.arange(len(self.weight)), self.chosen)
        for number, name in enumerate(self.pool.tasks):
            own = self.pool.task == number
            score = self.scores.score[own & self.scores.finite]
            rows.append(
                {
                    "task": name,
                    "samples": int(own.sum()),
                    "harmful": float((score <= 0).mean()) if len(score) else 0.0,
                    "kept": [int((own & kept & (self.pool.phase == p)).sum()) for p in range(4)],
                }
            )
        return rows

    def _chart(self) -> str:
        score = self.scores.score[self.scores.finite].astype(float)
        score = score / max(np.abs(score).max(), 1e-12)
        low, high = np.quantile(score, [0.01, 0.99])
        with mpl.rc_context(STYLE):
            figure, axes = new_figure(7.2, 2.6)
            axes.hist(np.clip(score, low, high), bins=60, color=SERIES[0])
            axes.axvline(0.0, color=INK, linewidth=1)
            axes.set(xlabel="score, of the largest; right of the line is helpful", ylabel="samples")
            return to_svg(figure, "Histogram of scores")

    def _card(self, index: int) -> dict[str, Any]:
        frames, row = self.pool.frames, int(self.pool.rows[index])
        episode = int(frames.episode_index[row])
        images = np.asarray(frames.images[np.array([row])])[0]
        return {
            "picture": jpeg(np.hstack(list(images)), 320),
            "instruction": frames.instructions[int(frames.instruction_index[row])],
            "where": f"{frames.tasks[episode]}, seed {self.pool.seeds[episode]},"
            f" frame {frames.scene_frame[row]}",
            "kept": bool(np.isin(index, self.chosen)),
            "share": f"{self.weight[index] * len(self.weight):.1f}",
            "reasons": self._reasons(index, row),
        }

    def _reasons(self, index: int, row: int) -> list[str]:
        """Why it has the weight it has, in words."""
        from vla_distill.ftncfm.pool import PHASES

        score = self.scores.score
        rank = float((score[self.scores.finite] > score[index]).mean())
        verb = "lowers" if score[index] > 0 else "raises"
        cosine, loss = float(self.scores.alignment[index]), float(self.scores.loss[index])
        typical = float(np.median(self.scores.loss[self.scores.finite]))
        reasons = [
            f"a step on it {verb} the held-out loss; better than {1 - rank:.0%} of all samples",
            f"its gradient agrees with theirs by {cosine:+.2f}",
            f"phase {PHASES[self.pool.phase[index]]}; the guide's loss on it is"
            f" {loss / max(typical, 1e-12):.1f} times the median",
        ]
        found = self.contrast.get(row)
        if found is not None and found.template:
            gap = cosine - found.alignment
            word = "falls" if gap > CLOSE else "rises" if gap < -CLOSE else "stays"
            reasons.append(
                f"with the thing {found.template} the right action moves by"
                f" {100 * found.difference:.0f} cm, and the agreement of the old one {word} to"
                f" {found.alignment:+.2f}"
            )
        elif found is not None:
            tried = ", ".join(found.tried) or "none could be drawn"
            reasons.append(f"no counter-example that changes the right action ({tried})")
        return reasons
