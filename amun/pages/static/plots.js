// Plots of metrics, drawn from what is in the page: strips and boxes, in the colours of the page.

function colour(name) { return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim(); }

const UNITS = { bytes: [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"], [1, "B"]], s: [[1, "s"], [1e-3, "ms"], [1e-6, "µs"], [0, "ns"]] };

// A number in a handy unit, as the tables have it.
function tell(value, unit) {
  const scale = (UNITS[unit] || []).find(([least]) => Math.abs(value) >= least && value !== 0);
  if (!scale || !scale[0]) return Number(value.toPrecision(4)).toLocaleString("en") + (unit && unit !== "count" ? " " + unit : "");
  return Number((value / scale[0]).toPrecision(4)).toLocaleString("en") + " " + scale[1];
}

function look() {
  return { text: colour("quiet"), line: colour("line"), point: colour("a"), disturbed: colour("b"), unknown: colour("quiet"), soft: colour("accent-soft") };
}

function scales(plot, colours, more) {
  return {
    y: { beginAtZero: false, grace: "8%", grid: { color: colours.line }, border: { display: false }, ticks: { color: colours.text, maxTicksLimit: 6, callback: (value) => tell(value, plot.unit) } },
    ...more,
  };
}

function options(plot, axes, tooltip) {
  return {
    animation: false, responsive: true, maintainAspectRatio: false, scales: axes,
    plugins: { legend: { display: false }, tooltip: { callbacks: { title: () => "", ...tooltip } } },
  };
}

// Run by run: a point for each, and the box of them all beside.
function ofRuns(plot, colours) {
  const tint = { disturbed: colours.disturbed, unknown: colours.unknown };
  const shape = { disturbed: "rectRot" };
  const points = plot.values.map(([x, y]) => ({ x, y }));
  const [first, last] = [plot.values[0][0], plot.values[plot.values.length - 1][0]];
  const axes = scales(plot, colours, {
    x: { type: "linear", stack: "x", stackWeight: 5, min: first - 1, max: last + 1, grid: { display: false }, border: { color: colours.line }, ticks: { color: colours.text, precision: 0, maxTicksLimit: 8, includeBounds: false }, title: { display: true, text: "item", color: colours.text } },
    box: { type: "category", labels: [""], stack: "x", stackWeight: 1, offset: true, grid: { display: false }, border: { display: false } },
  });
  return {
    data: {
      datasets: [
        { type: "scatter", xAxisID: "x", data: points, pointRadius: points.length > 200 ? 1.5 : 3, pointStyle: plot.values.map(([, , quality]) => shape[quality] || "circle"),
          backgroundColor: plot.values.map(([, , quality]) => tint[quality] || colours.point), borderWidth: 0 },
        { type: "boxplot", xAxisID: "box", data: [plot.values.map(([, y]) => y)], backgroundColor: colours.soft, borderColor: colours.point, borderWidth: 1.5,
          outlierRadius: 0, itemRadius: 0, meanRadius: 0, grouped: false, maxBarThickness: 26 },
      ],
    },
    options: options(plot, axes, {
      label: (at) => (at.dataset.type === "boxplot" ? ` median ${tell(at.parsed.median, plot.unit)}`
        : ` item ${at.parsed.x}: ${tell(at.parsed.y, plot.unit)}${plot.values[at.dataIndex][2] === "disturbed" ? ", disturbed" : ""}`),
    }),
  };
}

// Inspections beside each other: a box and a strip for each.
function beside(plot, colours) {
  const names = ["a", "b", "c", "d", "e", "f"];
  const tints = plot.groups.map((_, at) => colour(names[at % 6]));
  const axes = scales(plot, colours, { x: { type: "category", grid: { display: false }, border: { color: colours.line }, ticks: { color: colours.text } } });
  const jitter = (at) => ((at * 0.618034) % 1) - 0.5;
  return {
    data: {
      labels: plot.groups.map((group) => group.label),
      datasets: [
        { type: "boxplot", data: plot.groups.map((group) => group.values), backgroundColor: colours.soft, borderColor: tints, borderWidth: 1.5,
          outlierRadius: 0, itemRadius: 0, meanRadius: 0, grouped: false, maxBarThickness: 56, order: 2 },
        ...plot.groups.map((group, at) => ({ type: "scatter", xAxisID: "strip", order: 1, backgroundColor: tints[at], pointRadius: 2, borderWidth: 0,
          data: group.values.map((y, nth) => ({ x: at + jitter(nth) * 0.28, y })) })),
      ],
    },
    options: options(plot, { ...axes, strip: { type: "linear", display: false, min: -0.5, max: plot.groups.length - 0.5 } }, {
      label: (at) => (at.dataset.type === "boxplot" ? ` ${at.label}: median ${tell(at.parsed.median, plot.unit)}` : ` ${tell(at.parsed.y, plot.unit)}`),
    }),
  };
}

const drawn = new Set();

function draw() {
  if (typeof Chart === "undefined") return;
  for (const chart of drawn) if (!chart.canvas?.isConnected) { chart.destroy(); drawn.delete(chart); }
  const colours = look();
  Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
  Chart.defaults.font.size = 12;
  for (const canvas of document.querySelectorAll("canvas[data-plot]")) {
    if (Chart.getChart(canvas)) continue;
    const plot = JSON.parse(canvas.dataset.plot);
    drawn.add(new Chart(canvas, plot.groups ? beside(plot, colours) : ofRuns(plot, colours)));
  }
}

document.addEventListener("DOMContentLoaded", draw);
Amun.updated.push(draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const chart of drawn) chart.destroy();
  drawn.clear();
  draw();
});
