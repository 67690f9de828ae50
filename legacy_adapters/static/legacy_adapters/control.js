// The control room: charts, and figures brought up to date every few seconds while somebody looks.
// Without this script the page is complete as it was sent; each chart's table says what it draws.

const EVERY_MS = 5000;
const HEIGHT = 220;

// How a line is drawn; colours are the stylesheet's. No two lines of a chart differ by colour alone.
const LOOKS = {
  legacy: { color: "--la-old", width: 1.5, dash: [6, 4] },
  legacy95: { color: "--la-old", width: 2.5, dash: [6, 4] },
  unified: { color: "--la-new", width: 1.5 },
  unified95: { color: "--la-new", width: 2.75 },
  bound: { color: "--la-new", width: 1.5, dash: [2, 3], band: true },
  needed: { color: "--la-needed", width: 1.5, dash: [10, 4] },
  area: { color: "--la-new", width: 1.5, fill: "--la-new-soft" },
  bar: { color: "--la-new", width: 1, fill: "--la-new-soft", bars: 0.8 },
  shed: { color: "--la-old", width: 1.5, dash: [6, 4] },
  bad: { color: "--la-bad", width: 2 },
  mild: { color: "--la-old", width: 1, fill: "--la-old-soft", bars: 0.9 },
  wrong: { color: "--la-bad", width: 1, fill: "--la-bad", bars: 0.55 },
  errors: { color: "--la-text", width: 1, fill: "--la-text", bars: 0.2 },
};

const number = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const exact = new Intl.NumberFormat("en", { maximumFractionDigits: 3 });
const UNITS = {
  percent: (value) => `${exact.format(value)} %`,
  count: (value) => number.format(value),
  ms: (value) => (value >= 1000 ? `${number.format(value / 1000)} s` : `${number.format(value)} ms`),
};

const room = document.getElementById("la-room");
const fresh = document.getElementById("la-fresh");
let series = JSON.parse(document.getElementById("la-series").textContent);
const drawn = new Map();

function colour(name) {
  return getComputedStyle(room).getPropertyValue(name).trim();
}

function clock(seconds) {
  return new Date(seconds * 1000).toISOString().slice(11, 16);
}

// Of a part, what it has come to matters: bounds that were wide at the beginning are cut off.
function range(chart) {
  if (chart.unit !== "percent") {
    const least = chart.unit === "count" ? 4 : 1;
    return (_, __, max) => [0, Math.max(least, max * 1.1)];
  }
  const late = chart.lines.flatMap((line) => line.values.slice(-Math.ceil(line.values.length / 2)));
  const lowest = Math.min(99.9, ...late.filter((value) => value != null));
  const room = 100 - lowest;
  return () => [Math.max(0, lowest - room * 0.4), 100 + room * 0.1];
}

function options(chart, width) {
  const text = UNITS[chart.unit];
  const axis = {
    stroke: colour("--la-text"),
    font: "12px system-ui, sans-serif",
    grid: { stroke: colour("--la-grid"), width: 1 },
    ticks: { stroke: colour("--la-grid"), width: 1, size: 4 },
  };
  const bands = [];
  const lines = chart.lines.map((line, index) => {
    const look = LOOKS[line.look];
    if (look.band && chart.lines[index + 1]?.look === line.look) {
      bands.push({ series: [index + 1, index + 2], fill: colour("--la-new-soft") });
    }
    return {
      label: line.label,
      stroke: colour(look.color),
      width: look.width,
      dash: look.dash,
      fill: look.fill && colour(look.fill),
      paths: look.bars && uPlot.paths.bars({ size: [look.bars, 40] }),
      points: { show: look.bars ? false : undefined, size: 4 },
      value: (_, value) => (value == null ? "–" : text(value)),
    };
  });
  return {
    width,
    height: HEIGHT,
    legend: { live: true, markers: { dash: (_, at) => style(chart.lines[at - 1]), width: (_, at) => thickness(chart.lines[at - 1]) } },
    hooks: { setCursor: [latest] },
    cursor: { y: false, drag: { x: false, y: false } },
    scales: { x: { time: true, range: () => [series.x[0], series.end] }, y: { range: range(chart) } },
    axes: [
      { ...axis, space: 64, size: 32, values: (_, ticks) => ticks.map(clock) },
      { ...axis, size: 64, values: (_, ticks) => ticks.map(text) },
    ],
    series: [{ label: "UTC", value: (_, at) => (at == null ? "–" : clock(at)) }, ...lines],
    bands,
  };
}

function style(line) {
  const dash = line && LOOKS[line.look].dash;
  if (!dash) return "solid";
  return dash[0] < 4 ? "dotted" : "dashed";
}

function thickness(line) {
  return line ? Math.max(2, Math.round(LOOKS[line.look].width * 1.5)) : 2;
}

// Where nobody points, the legend says what came last.
function latest(plot) {
  if (plot.cursor.idx != null) return;
  let last = series.x.length - 1;
  while (last > 0 && plot.data.slice(1).every((values) => values[last] == null)) last -= 1;
  plot.setLegend({ idx: last });
}

function hasValues(chart) {
  return chart.lines.some((line) => line.look !== "needed" && line.values.some((v) => v != null));
}

function draw(chart) {
  const figure = room.querySelector(`[data-chart="${chart.name}"]`);
  const plot = figure.querySelector(".la-plot");
  const empty = figure.querySelector(".la-empty");
  const isEmpty = !hasValues(chart);
  plot.hidden = isEmpty;
  empty.hidden = !isEmpty;
  empty.textContent = chart.empty;
  const known = drawn.get(chart.name);
  if (isEmpty) {
    known?.destroy();
    drawn.delete(chart.name);
    return;
  }
  const data = [series.x, ...chart.lines.map((line) => line.values)];
  if (known) {
    known.setData(data);
    latest(known);
    return;
  }
  const made = new uPlot(options(chart, plot.clientWidth), data, plot);
  drawn.set(chart.name, made);
  latest(made);
}

function redraw() {
  for (const each of drawn.values()) each.destroy();
  drawn.clear();
  series.charts.forEach(draw);
}

function fit() {
  for (const [name, plot] of drawn) {
    const width = room.querySelector(`[data-chart="${name}"] .la-plot`).clientWidth;
    if (width && width !== plot.width) plot.setSize({ width, height: HEIGHT });
  }
}

// What somebody is at in a part, to be found again in the new one: an opened list, a link.
function placeOf(element) {
  if (element.matches("summary")) return `[data-keep="${element.parentElement.dataset.keep}"] > summary`;
  return element.matches("a") ? `a[href="${element.getAttribute("href")}"]` : ".su-scroll";
}

// A part that is unchanged stays as it is; of another, what is open and where the focus is.
const texts = new Map();
function replace(parts) {
  for (const part of room.querySelectorAll("[data-live]")) {
    const text = parts[part.dataset.live];
    if (text === undefined || texts.get(part) === text) continue;
    texts.set(part, text);
    const open = [...part.querySelectorAll("details[open]")].map((each) => each.dataset.keep);
    const focused = part.contains(document.activeElement) && placeOf(document.activeElement);
    part.innerHTML = text;
    for (const each of part.querySelectorAll("details")) each.open = open.includes(each.dataset.keep);
    if (focused) part.querySelector(focused)?.focus({ preventScroll: true });
  }
}

async function update() {
  try {
    const answered = await fetch(room.dataset.url, {
      headers: { Accept: "application/json" },
      signal: AbortSignal.timeout(4 * EVERY_MS),
    });
    if (!answered.ok || answered.redirected) throw new Error(`${answered.status}`);
    const found = await answered.json();
    replace(found.parts);
    series = found.series;
    series.charts.forEach(draw);
    tell(`As of ${new Date().toISOString().slice(11, 19)} UTC, and kept up to date.`, false);
  } catch {
    tell("The figures could not be brought up to date: they are older than they seem.", true);
  }
}

function tell(text, isStale) {
  fresh.textContent = text;
  fresh.classList.toggle("la-stale", isStale);
}

let timer;
async function follow() {
  clearTimeout(timer);
  if (document.hidden) return;
  await update();
  timer = setTimeout(follow, EVERY_MS);
}

redraw();
new ResizeObserver(fit).observe(room);
new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
document.addEventListener("visibilitychange", follow);
timer = setTimeout(follow, EVERY_MS);
room.dataset.drawn = drawn.size;
