"""The benchmark's figures: a table, JSON, and a plot in SVG."""

import html
import json
import math

COLOURS = {"xenolith": "#b5472f", "qemu": "#e0a13a", "bochs": "#3f6f8f"}


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


class Report:
    """Seconds by stage and emulator; ratios are against the first emulator."""

    def __init__(self, emulators, stages, seconds, notes):
        self.emulators = emulators      # names, the reference first
        self.stages = stages            # Stage values in order
        self.seconds = seconds          # {(stage name, emulator): [seconds of each round]}
        self.notes = notes

    def best(self, stage, emulator):
        """The least disturbed round."""
        return min(self.seconds.get((stage.name, emulator), []), default=None)

    def ratio(self, stage, emulator):
        own, reference = self.best(stage, emulator), self.best(stage, self.emulators[0])
        return own / reference if own and reference else None

    def groups(self):
        groups = {}
        for stage in self.stages:
            groups.setdefault(stage.group, []).append(stage)
        return groups

    def means(self):
        return {group: {emulator: geometric_mean([r for s in stages if (r := self.ratio(s, emulator))])
                        for emulator in self.emulators[1:]} for group, stages in self.groups().items()}

    def totals(self, stages):
        """Sums over stages every emulator ran."""
        return {emulator: sum(self.best(s, emulator) for s in stages)
                if all(self.best(s, emulator) for s in stages) else None for emulator in self.emulators}

    def table(self):
        reference, others = self.emulators[0], self.emulators[1:]
        width = max([len(s.name) for s in self.stages] + [len(g) + 17 for g in self.groups()])
        header = f"{'host CPU seconds':{width}}" + "".join(f"{e:>11}" for e in self.emulators)
        header += "".join(f"{f'{e}/{reference}':>18}" for e in others)
        lines = [header, "-" * len(header)]
        means = self.means()
        for group, stages in self.groups().items():
            for stage in stages:
                lines.append(f"{stage.name:{width}}"
                             + "".join(_number(self.best(stage, e), 11, 3) for e in self.emulators)
                             + "".join(_number(self.ratio(stage, e), 18, 2) for e in others))
            if len(stages) > 1:
                lines.append(f"{group + ': total, mean':{width}}"
                             + "".join(_number(v, 11, 3) for v in self.totals(stages).values())
                             + "".join(_number(means[group][e], 18, 2) for e in others))
            lines.append("")
        lines += self.notes
        return "\n".join(lines).rstrip() + "\n"

    def write_json(self, path, facts):
        document = {**facts, "reference": self.emulators[0], "geometricMeans": self.means(), "stages": [
            {"stage": s.name, "group": s.group,
             "seconds": {e: self.seconds[(s.name, e)] for e in self.emulators if (s.name, e) in self.seconds}}
            for s in self.stages]}
        with open(path, "w") as file:
            json.dump(document, file, indent=2)
            file.write("\n")

    def write_svg(self, path):
        """Horizontal bars on a logarithmic scale, a row a stage."""
        rows = [s for s in self.stages if any(self.best(s, e) for e in self.emulators)]
        values = [v for s in rows for e in self.emulators if (v := self.best(s, e))]
        if not values:
            return
        low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)) + 1e-9)
        high = max(high, low + 1)
        left, right, top, bar, gap = 190, 640, 46, 9, 7
        row_height = bar * len(self.emulators) + gap
        height = top + row_height * len(rows) + 34

        def x(value):
            return left + (math.log10(value) - low) / (high - low) * (right - left)

        parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="720" height="{height}" '
                 'font-family="sans-serif" font-size="11">', f'<rect width="720" height="{height}" fill="#fff"/>',
                 f'<text x="{left}" y="16" font-size="13">Host CPU seconds, shorter is better (logarithmic)</text>']
        for index, emulator in enumerate(self.emulators):
            parts.append(f'<rect x="{left + 110 * index}" y="24" width="10" height="10" fill="{_colour(emulator)}"/>'
                         f'<text x="{left + 110 * index + 15}" y="33">{html.escape(emulator)}</text>')
        for power in range(low, high + 1):
            parts.append(f'<line x1="{x(10 ** power):.1f}" y1="{top - 6}" x2="{x(10 ** power):.1f}" y2="{height - 28}" '
                         f'stroke="#ddd"/><text x="{x(10 ** power):.1f}" y="{height - 14}" text-anchor="middle">'
                         f'{10.0 ** power:g} s</text>')
        for row, stage in enumerate(rows):
            y = top + row * row_height
            middle = y + bar * len(self.emulators) / 2 + 4
            parts.append(f'<text x="{left - 6}" y="{middle:.1f}" text-anchor="end">{html.escape(stage.name)}</text>')
            for index, emulator in enumerate(self.emulators):
                value = self.best(stage, emulator)
                if value:
                    parts.append(f'<rect x="{left}" y="{y + bar * index}" width="{max(1, x(value) - left):.1f}" '
                                 f'height="{bar - 1}" fill="{_colour(emulator)}"/><text x="{x(value) + 3:.1f}" '
                                 f'y="{y + bar * index + 8}" font-size="9">{value:.3g}</text>')
        parts.append("</svg>\n")
        with open(path, "w") as file:
            file.write("\n".join(parts))


def _colour(emulator):
    return COLOURS.get(emulator, "#777777")


def _number(value, width, digits):
    return f"{'–' if value is None else f'{value:.{digits}f}':>{width}}"
