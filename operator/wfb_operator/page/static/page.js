// The page: reads the books every two seconds and draws them. Nothing is ever parsed as HTML: every text from outside,
// such as a label's value, goes into a text node.

const EVERY_MS = 2000;
const COLOURS = ["#3b7dd8", "#d9772b", "#2f9e73", "#b0568f", "#8c7a2f", "#5f6ad1", "#c0504d", "#4aa3b5"];
const OTHER = "#8a94a0";
const COLOURED = COLOURS.length;
const LOOP_DONE = { LoopFlagged: "flagged", LoopSlowed: "slowed", LoopRefused: "refused", LoopRecovered: "goes on" };
const STAGES = ["Open", "Warn", "Slow", "Downgrade", "Exhausted"];

const at = (id) => document.getElementById(id);
const dollars = (usd, least = 2) => {
  const value = Number(usd);
  const digits = value !== 0 && Math.abs(value) < 0.1 ? 6 : least;
  return "$" + value.toLocaleString("en", { minimumFractionDigits: least, maximumFractionDigits: Math.max(least, digits) });
};
const count = (value) => Number(value).toLocaleString("en");

/** An element with a class, attributes and children; strings become text. */
function make(tag, { className, ...attributes } = {}, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function shape(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Text that a person can read whatever it is: long ones are cut, and what is not printed is shown as a code. */
function readable(text, most = 120) {
  const plain = String(text ?? "").replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g,
    (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
  return plain.length > most ? plain.slice(0, most - 1) + "…" : plain;
}

function ago(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

const clock = (unix) => new Date(unix * 1000).toLocaleString([], { dateStyle: "short", timeStyle: "short" });

// Served by the ledger itself (through `kubectl proxy`, say) the books are beside the page, of the namespace that the
// address names or of all; served by `wfb ui` they are under api/, of what it was started for.
const besideTheBooks = location.pathname.startsWith("/apis/spend.aifinops.dev/");
const namespace = new URLSearchParams(location.search).get("namespace") ?? "";
const books = !besideTheBooks ? "api/" : namespace ? `../namespaces/${encodeURIComponent(namespace)}/` : "../";

async function read(resource, query = {}) {
  const answer = await fetch(`${books}${resource}?${new URLSearchParams(query)}`, { cache: "no-store" });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    const said = body.message || body.error || `${resource}: the books answered ${answer.status}`;
    throw Object.assign(new Error(said), { status: answer.status });
  }
  return body;
}

/** Replaces the rows of a table, and says so where there are none. */
function fill(id, rows, empty) {
  const body = at(id);
  const columns = body.parentElement.tHead.rows[0].cells.length;
  body.replaceChildren(...(rows.length ? rows : [make("tr", {}, make("td", { colspan: columns, className: "empty" }, empty))]));
}

const row = (...cells) => make("tr", {}, ...cells);
const cell = (text, className = "") => make("td", { className }, text);

function meter(percent, label, stage, rungs = []) {
  const fillBar = make("div", { className: `fill ${stage ?? ""}` });
  fillBar.style.width = `${Math.min(100, percent)}%`;
  const track = make("div", { className: "track", role: "meter", "aria-valuemin": 0, "aria-valuemax": 100,
    "aria-valuenow": Math.min(100, Math.round(percent)), "aria-valuetext": label, "aria-label": label }, fillBar);
  for (const [rung, action] of rungs) {
    const mark = make("div", { className: "rung", title: `${action} from ${rung} %` });
    mark.style.left = `${rung}%`;
    track.append(mark);
  }
  return make("div", { className: "meter" }, track, make("span", { className: "percent" }, `${Math.floor(percent)} %`));
}

const badge = (stage) => make("span", { className: `stage ${STAGES.includes(stage) ? stage : ""}` }, readable(stage));

function drawBudgets(summary) {
  const lines = [...summary.budgets].sort((a, b) => STAGES.indexOf(b.stage) - STAGES.indexOf(a.stage) || b.percent_used - a.percent_used);
  fill("budget-rows", lines.slice(0, 200).map((line) => {
    const name = readable(line.budget.replace(/^\//, ""));
    const label = `${name}, ${line.kind}: ${line.percent_used} percent used, stage ${line.stage}`;
    const run = line.kind === "Run" ? ` ${readable(line.window.split("|").pop(), 24)}` : "";
    return row(
      make("th", { scope: "row" }, name), cell(line.kind + run, "short"), make("td", {}, badge(line.stage)),
      make("td", {}, meter(line.percent_used, label, line.stage, line.ladder)),
      cell(dollars(line.spent_usd), "number"), cell(dollars(line.limit_usd), "number"), cell(dollars(line.reserved_usd), "number"),
      cell(line.end ? `in ${ago(line.end - summary.now)}` : "never", "short"));
  }), "No budget is in force here.");
}

function drawFigures(summary, usage, recent, hours) {
  const sum = (rows, name) => rows.reduce((total, one) => total + Number(one[name]), 0);
  const pressed = summary.budgets.filter((line) => line.stage !== "Open").length;
  const over = hours === 1 ? "the last hour" : hours === 168 ? "the last 7 days" : `the last ${hours} h`;
  const figures = [
    ["Spent", dollars(sum(usage, "usd")), `in ${over}`],
    ["Rate", dollars(sum(recent, "usd") * 4), "an hour, by the last 15 minutes"],
    ["Calls", count(sum(usage, "calls")), `${count(sum(usage, "refused"))} refused`],
    ["Budgets past a rung", count(pressed), `of ${count(summary.budgets.length)} windows`],
  ];
  at("figures").replaceChildren(...figures.map(([name, value, more]) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, value, make("small", {}, more)))));
}

function drawUsage(rows, dimension) {
  const total = rows.reduce((sum, one) => sum + Number(one.usd), 0) || 1;
  at("dimension-name").textContent = dimension[0].toUpperCase() + dimension.slice(1);
  fill("usage-rows", rows.slice(0, 100).map((one) => {
    const name = readable(one[dimension]) || "(none)";
    const share = 100 * Number(one.usd) / total;
    return row(make("th", { scope: "row" }, name), make("td", {}, meter(share, `${name}: ${share.toFixed(1)} percent of the spend`)),
      cell(dollars(one.usd), "number"), cell(count(one.calls), "number"),
      cell(one.calls ? dollars(one.usd / one.calls, 4) : "–", "number"),
      cell(count(one.input_tokens + one.cache_read_tokens + one.cache_write_tokens), "number"),
      cell(count(one.output_tokens), "number"), cell(count(one.refused), "number"));
  }), "Nothing was spent in this time.");
}

function drawChart(rows, dimension, now, hours) {
  const buckets = Math.min(48, hours * 12), width = hours * 3600 / buckets, start = now - hours * 3600;
  const totals = new Map();
  for (const one of rows) totals.set(one[dimension], (totals.get(one[dimension]) ?? 0) + Number(one.usd));
  const names = [...totals].sort((a, b) => b[1] - a[1]).map(([name]) => name);
  const shown = names.slice(0, COLOURED);
  const stacks = Array.from({ length: buckets }, () => new Array(shown.length + 1).fill(0));
  for (const one of rows) {
    const bucket = Math.min(buckets - 1, Math.max(0, Math.floor((one.minute * 60 - start) / width)));
    const place = shown.indexOf(one[dimension]);
    stacks[bucket][place < 0 ? shown.length : place] += Number(one.usd);
  }
  const highest = Math.max(...stacks.map((s) => s.reduce((a, b) => a + b, 0)), 1e-9);
  const chart = at("chart");
  const [w, h, left, bottom] = [Math.max(300, chart.clientWidth), 190, 74, 20];
  chart.setAttribute("viewBox", `0 0 ${w} ${h}`);
  const drawn = [];
  for (const part of [0, 0.5, 1]) {
    const y = (h - bottom - 8) * (1 - part) + 8;
    drawn.push(shape("line", { x1: left, x2: w, y1: y, y2: y }), shape("text", { x: 0, y: y + 4 }, dollars(highest * part)));
  }
  const step = (w - left) / buckets;
  stacks.forEach((stack, n) => {
    let y = h - bottom;
    stack.forEach((usd, place) => {
      const tall = usd / highest * (h - bottom - 8);
      if (tall <= 0) return;
      y -= tall;
      const name = place < shown.length ? readable(shown[place]) || "(none)" : "others";
      drawn.push(shape("rect", { x: left + n * step + 1, y, width: Math.max(1, step - 2), height: tall, fill: COLOURS[place] ?? OTHER },
        shape("title", {}, `${name}: ${dollars(usd)}, ${clock(start + n * width)}`)));
    });
    if (n % (buckets / 6) === 0) {
      const time = new Date((start + n * width) * 1000);
      const label = hours > 24 ? time.toLocaleDateString([], { day: "numeric", month: "short" }) : time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
      drawn.push(shape("text", { x: left + n * step, y: h - 4 }, label));
    }
  });
  chart.replaceChildren(...drawn);
  const legend = shown.map((name, n) => {
    const dot = make("i");
    dot.style.background = COLOURS[n];
    return make("span", {}, dot, `${readable(name, 40) || "(none)"} ${dollars(totals.get(name))}`);
  });
  if (names.length > shown.length) legend.push(make("span", {}, `and ${names.length - shown.length} others`));
  const title = legend.length ? `Spend by ${dimension}` : "Nothing was spent in this time";
  at("chart-title").replaceChildren(make("span", {}, title), ...legend);
}

function drawRuns(runs, now) {
  fill("run-rows", runs.map((one) => row(make("th", { scope: "row" }, readable(one.run, 40)), cell(readable(one.workflow, 60)),
    cell(dollars(one.usd), "number"), cell(`${ago(now - one.last_seen)} ago`, "when"))), "No run was seen.");
}

function drawStages(stages) {
  fill("stage-rows", stages.map((one) => row(cell(clock(one.at), "when"), make("th", { scope: "row" }, readable(one.budget.replace(/^\//, ""))),
    make("td", {}, badge(one.from_stage)), make("td", {}, badge(one.to_stage)),
    cell(`${dollars(one.spent_usd)} of ${dollars(one.limit_usd)}`, "number"))), "No window has moved on its ladder.");
}

function drawDecisions(decisions) {
  fill("decision-rows", decisions.map((one) => row(cell(clock(one.at), "when"), make("td", { className: "short" }, make("code", {}, readable(one.id, 40))),
    cell(readable(one.reason, 40), "short"), cell(readable(one.workflow, 60)), cell(readable(one.model, 60)), cell(readable(one.message, 400)))),
  "Nothing was refused, estimated or found.");
}

/** Workflows that spend unusually now; `judged` is null where the books do not tell. */
function drawAnomalies(judged) {
  const of = (state) => (judged ?? []).filter((one) => one.state === state);
  const found = of("Spike").map((one) => row(cell(clock(one.since), "when"), make("th", { scope: "row" }, readable(one.workflow) || "(none)"),
    cell(one.ratio.toFixed(1), "number"), cell(readable(one.message, 400))));
  const [usual, unknown] = [of("Normal").length, of("Unknown").length];
  fill("anomaly-rows", found, judged === null ? "These books do not tell what is usual."
    : `Nothing is unusual: ${count(usual)} ${usual === 1 ? "workflow is" : "workflows are"} judged, ${count(unknown)} not yet known for three days.`);
}

function drawLoops(sightings) {
  fill("loop-rows", (sightings ?? []).map((one) => row(cell(clock(one.at), "when"), make("th", { scope: "row" }, readable(one.unit.replace(/^run\//, ""), 60)),
    cell(readable(one.workflow, 60)), cell(readable(LOOP_DONE[one.reason] ?? one.reason, 40), "short"), cell(readable(one.message, 400)))),
  sightings === null ? "These books do not tell of loops." : "No run goes round in circles.");
}

/** What an older ledger lacks, or a narrower right leaves out, leaves its own table empty and no other. */
const readIfThere = (resource, query) => read(resource, query).then((body) => body[resource]).catch((error) => {
  if ([403, 404].includes(error.status)) return null;
  throw error;
});

async function look() {
  const dimension = at("dimension").value, hours = Number(at("hours").value), kind = at("kind").value;
  const summary = await read("summaries", { since: 1e12 }); // its usage is not drawn
  const now = Math.floor(summary.now), since = now - hours * 3600;
  const [byDimension, overTime, recent, runs, stages, decisions, anomalies, loops] = await Promise.all([
    read("usage", { by: dimension, since }), read("usage", { by: `minute,${dimension}`, since }),
    read("usage", { by: "provider", since: now - 900 }), read("runs", { limit: 20 }),
    read("stages", { limit: 20 }), read("decisions", { limit: 50, ...(kind && { kind }) }),
    readIfThere("anomalies"), readIfThere("loops", { limit: 20 })]);
  drawFigures(summary, byDimension.usage, recent.usage, hours);
  drawBudgets(summary);
  drawChart(overTime.usage, dimension, now, hours);
  drawUsage(byDimension.usage, dimension);
  drawRuns(runs.runs, now);
  drawStages(stages.stages);
  drawAnomalies(anomalies);
  drawLoops(loops);
  drawDecisions(decisions.decisions);
}

let looking = false, again = false, paused = false, seen = 0;

async function refresh() {
  if (looking) {
    again = true; // a choice that changed meanwhile is not to wait for the next round
    return;
  }
  looking = true;
  try {
    await look();
    seen = Date.now();
    at("problem").hidden = true;
  } catch (error) {
    at("problem").textContent = `The books cannot be read: ${readable(error.message, 500)}`;
    at("problem").hidden = false;
  } finally {
    looking = false;
    tell();
  }
  if (again) {
    again = false;
    await refresh();
  }
}

function tell() {
  const state = seen ? `Read ${ago((Date.now() - seen) / 1000)} ago` : "Reading the books …";
  const text = paused ? `Paused. ${state}` : state;
  at("fresh").textContent = text; // no live region: it would be read aloud every two seconds
}

at("pause").addEventListener("click", () => {
  paused = !paused;
  at("pause").setAttribute("aria-pressed", String(paused));
  at("pause").textContent = paused ? "Go on" : "Pause";
  tell();
  if (!paused) refresh();
});
for (const id of ["dimension", "hours", "kind"]) at(id).addEventListener("change", refresh);
const tellScope = (scope) => { at("scope").textContent = readable(scope, 200); };
if (besideTheBooks) tellScope(namespace ? `namespace ${namespace}` : "all namespaces");
else read("about").then((about) => tellScope(about.scope)).catch(() => {});
setInterval(() => { if (!paused && !document.hidden && !looking) refresh(); tell(); }, EVERY_MS);
document.addEventListener("visibilitychange", () => { if (!document.hidden && !paused) refresh(); });
refresh();
