// A page is there at once: plotly runs when the first figure is looked at, and each figure is drawn when it comes near.
const plots = () => [...document.querySelectorAll(".plotly-graph-div")];
const drawn = new Set();
function draw(plot) {
  if (drawn.has(plot)) return;
  drawn.add(plot);
  if (!window.Plotly) document.head.append(Object.assign(document.createElement("script"), { textContent: document.getElementById("plotly").textContent }));
  const { data, layout, config } = JSON.parse(document.querySelector(`script[data-plot="${plot.id}"]`).textContent);
  Plotly.newPlot(plot, data, { ...layout, width: plot.parentElement.clientWidth }, config);
  // Points of fronts carry their number.
  plot.on("plotly_click", click => {
    const number = click.points[0].customdata;
    if (number) choose(number, "smooth");
  });
}
const near = new IntersectionObserver(seen => {
  for (const { target, isIntersecting } of seen) if (isIntersecting) { near.unobserve(target); draw(target); }
}, { rootMargin: "300px" });

// Paper is narrower than the screen.
const fit = () => { for (const plot of drawn) Plotly.relayout(plot, { width: plot.parentElement.clientWidth }); };
addEventListener("resize", fit);
addEventListener("beforeprint", () => { document.body.classList.add("paper"); plots().forEach(draw); fit(); });
addEventListener("afterprint", () => { document.body.classList.remove("paper"); fit(); });

// An element with a class and text or children; text is never read as HTML.
function made(tag, name, ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.append(...children);
  return element;
}

function save(text, type, name) {
  const link = made("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// Tables as CSV: what people read as 6.82 × 10⁷, 40,539 or 98.5 % are numbers there.
const POWERS = { "⁻": "-", "⁰": "0", "¹": "1", "²": "2", "³": "3", "⁴": "4", "⁵": "5", "⁶": "6", "⁷": "7", "⁸": "8", "⁹": "9" };
function plain(cell) {
  const copy = cell.cloneNode(true);
  for (const line of copy.querySelectorAll("br")) line.replaceWith(" ");
  const text = copy.textContent.replace(/\s+/g, " ").trim();
  const power = /^([\d.]+) × 10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)$/.exec(text);
  if (power) return `${power[1]}e${[...power[2]].map(letter => POWERS[letter]).join("")}`;
  return /^\d{1,3}(,\d{3})+(\.\d+)?$/.test(text) ? text.replaceAll(",", "") : text;
}
function csv(table) {
  const rows = [];
  for (const row of table.rows) {
    const cells = [];
    for (const cell of row.cells) cells.push(plain(cell), ...Array(cell.colSpan - 1).fill(""));
    rows.push(cells.map(text => /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text).join(","));
  }
  return rows.join("\n") + "\n";
}

// A drawing as a file of its own: colours that the style sheet gives it are written into its elements.
function svg(drawing) {
  const copy = drawing.cloneNode(true), elements = copy.querySelectorAll("*"), box = drawing.getBoundingClientRect();
  drawing.querySelectorAll("*").forEach((element, index) => {
    const style = getComputedStyle(element);
    for (const name of ["fill", "stroke", "stroke-opacity", "font-weight", "text-anchor", "dominant-baseline"])
      elements[index].setAttribute(name, style.getPropertyValue(name).replaceAll('"', ""));
  });
  const pattern = document.getElementById("hatch");
  if (pattern) copy.prepend(pattern.parentElement.cloneNode(true));
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("width", box.width);
  copy.setAttribute("height", box.height);
  return new XMLSerializer().serializeToString(copy);
}

function button(words, title, act) {
  const element = made("button", "take", words);
  element.type = "button";
  element.title = title;
  element.addEventListener("click", act);
  return element;
}

addEventListener("DOMContentLoaded", () => {
  const named = new Map();
  const file = (element, ending) => {
    const name = element.closest("section")?.id || "report";
    named.set(name + ending, (named.get(name + ending) || 0) + 1);
    return `${name}-${named.get(name + ending)}.${ending}`;
  };
  for (const table of document.querySelectorAll("main table")) {
    const name = file(table, "csv");
    table.parentElement.after(button("CSV", "This table as a CSV file", () => save(csv(table), "text/csv", name)));
  }
  for (const drawing of document.querySelectorAll("svg.chip")) {
    const name = file(drawing, "svg");
    const act = () => save(svg(drawing), "image/svg+xml", name);
    drawing.after(button("SVG", "This drawing as an SVG file", act));
  }
  for (const plot of plots()) {
    const act = () => { draw(plot); Plotly.downloadImage(plot, { format: "svg", filename: plot.id.replace("plot-", "") }); };
    plot.parentElement.after(button("SVG", "This figure as an SVG file", act));
    near.observe(plot);
  }
  if (!points || !Object.keys(points.points).length) return;
  for (const row of document.querySelectorAll("tr[data-point]"))
    row.addEventListener("click", () => choose(Number(row.dataset.point), ""));
  // A link to a point, or the first one.
  const linked = Number(/^#point-(\d+)$/.exec(location.hash)?.[1]);
  show(points.points[linked] ? linked : Number(Object.keys(points.points)[0]));
  if (points.points[linked]) addEventListener("load", () => document.getElementById("point").scrollIntoView());
});

// The point that is looked at, beside the design that the run took.

const data = document.getElementById("points-data");
const points = data && JSON.parse(data.textContent);

function number(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-4) {
    const [mantissa, power] = value.toExponential(2).split("e");
    return `${mantissa} × 10${[...String(Number(power))].map(digit => Object.entries(POWERS).find(pair => pair[1] === digit)[0]).join("")}`;
  }
  return size >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)));
}
const percent = value => value === null || value === undefined ? "–" : `${(100 * value).toFixed(1)} %`;
const times = (value, base) => base ? `${number(value / base)}×` : "–";

function row(cells, heading) {
  const element = made("tr");
  cells.forEach((cell, index) => {
    const place = made(heading || index === 0 ? "th" : "td", "", ...(Array.isArray(cell) ? cell : [cell]));
    if (heading || index === 0) place.scope = heading ? "col" : "row";
    element.append(place);
  });
  return element;
}

function tableOf(name, head, rows) {
  const table = made("table", name, made("thead", "", row(head, true)), made("tbody", "", ...rows.map(cells => row(cells, false))));
  return made("div", "scroll", table);
}

function copier(text) {
  const command = made("code", "", text);
  const copy = button("copy", "Copy this command", async () => {
    try { await navigator.clipboard.writeText(text); } catch {
      // Pages from files may be refused the clipboard.
      getSelection().selectAllChildren(command);
      document.execCommand("copy");
    }
    copy.textContent = "copied";
    setTimeout(() => { copy.textContent = "copy"; }, 1500);
  });
  return made("p", "command", command, copy);
}

const TITLES = { area_mm2: "Area [mm²]", latency_us: "Latency [µs]", energy_uj: "Energy [µJ]", edap: "EDAP [µJ·µs·mm²]", tops_per_watt: "TOPS/W" };
const SHARED = ["area_mm2", "latency_us", "energy_uj"];

function costs(point, own) {
  const rows = Object.keys(TITLES).map(name => [TITLES[name], number(point.costs[name]),
    ...(own ? [number(own.costs[name]), times(point.costs[name], own.costs[name])] : [])]);
  const add = (title, show, value, theirs) => {
    if (value !== null && value !== undefined || theirs !== null && theirs !== undefined)
      rows.push([title, show(value), ...(own ? [show(theirs), ""] : [])]);
  };
  const quality = points.quality.charAt(0).toUpperCase() + points.quality.slice(1);
  add(quality, number, point.quality, point.quality === null ? null : own?.quality);
  add("NI-accuracy on the search's images", percent, point.ni, point.ni === null ? null : own?.ni);
  add("NI-accuracy on test images", percent, null, own?.test);
  return tableOf("short", ["Quantity", "This point", ...(own ? ["The run's design", "Ratio"] : [])], rows);
}

function bars(point, own) {
  const shown = made("div", "stacks");
  for (const name of SHARED) {
    const both = [["this point", point], ...(own ? [["the run's", own]] : [])];
    const most = Math.max(...both.map(([, one]) => one.costs[name]));
    const stack = made("div", "", made("h4", "", TITLES[name]));
    for (const [words, one] of both) {
      const bar = made("span", "stack");
      for (const [part, value] of Object.entries(one.breakdown[name])) {
        const [title, colour] = points.components[part];
        const piece = made("i");
        piece.style.width = `${100 * value / most}%`;
        piece.style.background = colour;
        piece.title = `${title}: ${number(value)}, ${percent(value / one.costs[name])}`;
        bar.append(piece);
      }
      stack.append(made("div", "labelled", made("small", "", words), bar, made("em", "", number(one.costs[name]))));
    }
    shown.append(stack);
  }
  const key = made("ul", "key", ...Object.values(points.components).map(([title, colour]) => {
    const swatch = made("span", "swatch");
    swatch.style.setProperty("--c", colour);
    return made("li", "", swatch, title);
  }));
  return made("div", "", key, shown);
}

// Every layer of either design; what the run's design has otherwise stands below in small letters.
function layers(point, own) {
  const names = [...new Set([...Object.keys(point.layers), ...Object.keys(own?.layers || {})])];
  const rows = names.map(name => {
    const mine = point.layers[name], theirs = own?.layers[name];
    if (!mine) return [name, ["left out", made("br"), made("small", "", theirs[0])]];
    return [name, ...mine.map((value, index) => {
      const show = one => typeof one === "number" && index >= mine.length - SHARED.length ? number(one) : String(one);
      if (!own || (theirs && show(theirs[index]) === show(value))) return show(value);
      return [made("b", "", show(value)), made("br"), made("small", "", theirs ? show(theirs[index]) : "–")];
    })];
  });
  const head = ["Layer", "Channels", ...Object.values(points.decisions), ...SHARED.map(name => TITLES[name])];
  const table = tableOf("layers", head, rows);
  for (const one of table.querySelectorAll("tbody tr")) if (one.cells.length === 2) one.cells[1].colSpan = head.length - 1;
  return table;
}

function choose(chosen, behavior) {
  if (!points?.points[chosen]) return;
  show(chosen);
  history.replaceState(null, "", `#point-${chosen}`);
  if (behavior) document.getElementById("point").scrollIntoView({ behavior });
}

function show(chosen) {
  const point = points.points[chosen], own = points.own, panel = document.getElementById("point");
  for (const one of document.querySelectorAll("tr[data-point]"))
    one.setAttribute("aria-selected", String(Number(one.dataset.point) === chosen));
  const says = [point.title];
  if (point.proof) says.push(point.proof);
  if (point.interval) says.push(`95 % confidence ${percent(point.interval[0])} to ${percent(point.interval[1])}`);
  const weights = point.weights
    ? [`Weights that fit: ${point.weights}${point.asMeasured ? ", with which its accuracy was measured" : ""}.`]
    : ["No weights of this run fit: it has not trained this network."];
  const table = layers(point, own), name = `point-${chosen}.csv`;
  panel.replaceChildren(
    made("h3", "", `Point ${chosen}`), made("p", "sub", `${says.join("; ")}.`),
    copier(point.command), ...(point.accuracyCommand ? [copier(point.accuracyCommand)] : []), made("p", "sub", ...weights),
    made("div", "two", costs(point, own), bars(point, own)),
    made("h4", "", own ? "Layer by layer; in small letters, where it differs, the run's design" : "Layer by layer"), table,
    button("CSV", "This table as a CSV file", () => save(csv(table.querySelector("table")), "text/csv", name)),
  );
}
