"use strict";

// What the page knows: tokens, and for each layer queries, keys and the gate. Attention is computed here when it is looked at.
const data = JSON.parse(document.getElementById("data").textContent);
const { shape } = data;
const $ = id => document.getElementById(id);

function bytesOf(base64url) {
  const binary = atob(base64url.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(binary, letter => letter.charCodeAt(0));
}

/** IEEE half precision to floats. */
function halves(base64url) {
  const words = new Uint16Array(bytesOf(base64url).buffer);
  return Float32Array.from(words, word => {
    const sign = word & 0x8000 ? -1 : 1, exponent = (word >> 10) & 31, fraction = word & 1023;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  });
}

const tokens = bytesOf(data.text.tokens);
const layers = data.layers.map(layer => ({
  ...layer,
  queries: halves(layer.queries),
  keys: halves(layer.keys),
  alpha: layer.alpha && new Float32Array(bytesOf(layer.alpha).buffer),
}));

// ── numbers ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

const firstKey = token => Math.max(0, token - (shape.window ?? tokens.length) + 1);
const alphaAt = (layer, head, token) => layers[layer].alpha[token * shape.heads + head];

/** exp(−Σα) from each token to the chosen one; NaN after it. */
function left(layer, head, token) {
  const values = new Float64Array(tokens.length).fill(NaN);
  for (let key = token, decay = 0; key >= 0; key--) {
    values[key] = Math.exp(-decay);
    decay += alphaAt(layer, head, key);
  }
  return values;
}

/** Softmax of scale · q·k, with the decay's bias or without; NaN where the token does not see. */
function attention(layer, head, token, gated) {
  const { queries, keys, alpha, scale } = layers[layer], size = shape.headSize;
  const query = (token * shape.heads + head) * size, keyHead = Math.floor(head * shape.keyHeads / shape.heads);
  const weights = new Float64Array(tokens.length).fill(NaN);
  const first = firstKey(token);
  let highest = -Infinity, decay = 0, sum = 0;
  for (let key = token; key >= first; key--) {
    const at = (key * shape.keyHeads + keyHead) * size;
    let dot = 0;
    for (let d = 0; d < size; d++) dot += queries[query + d] * keys[at + d];
    weights[key] = scale * dot - decay;
    highest = Math.max(highest, weights[key]);
    if (gated && alpha) decay += alphaAt(layer, head, key);
  }
  for (let key = first; key <= token; key++) sum += weights[key] = Math.exp(weights[key] - highest);
  for (let key = first; key <= token; key++) weights[key] /= sum;
  return weights;
}

function decays(layer, head) {
  return Float64Array.from(tokens, (_, token) => alphaAt(layer, head, token));
}

/** The least distance within which 90% lie. */
function within(weights, token) {
  for (let key = token, sum = 0; key > 0; key--) if ((sum += weights[key] || 0) >= 0.9) return token - key;
  return token;
}

// ── words and colours ────────────────────────────────────────────────────────────────────────────────────────────────────────────────

function figure(value) {
  if (value === null || value === undefined) return "–";
  if (value !== 0 && Math.abs(value) < 0.001) return value.toExponential(1).replace("-", "−");
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : Math.abs(value) >= 1 ? 2 : 3;
  return value.toFixed(digits).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
}

const powerOfTen = value => `10${[...String(Math.round(Math.log10(value)))].map(digit => digit === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]).join("")}`;
const percent = value => `${figure(value * 100)}%`;
const count = value => value.toLocaleString("en");
const headName = (layer, head) => `layer ${layer + 1}, head ${head + 1}`;

/** What a token looks like: a character stands at its first byte, its others are dots. */
const glyphs = (() => {
  const all = new Array(tokens.length), decoder = new TextDecoder("utf-8", { fatal: true });
  for (let i = 0; i < tokens.length;) {
    const byte = tokens[i], length = byte < 0x80 ? 1 : byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    let text;
    try { text = decoder.decode(tokens.subarray(i, i + length)); } catch { text = "□"; }
    if (text < " " && text !== "\n" && text !== "\t") text = "□";
    all[i] = text;
    for (let more = 1; more < length && i + more < tokens.length; more++) all[i + more] = "·";
    i += length;
  }
  return all;
})();
const visible = glyph => glyph === "\n" ? "↵" : glyph === "\t" ? "⇥" : glyph === " " ? "␣" : glyph;

const dark = matchMedia("(prefers-color-scheme: dark)");
// Lightness rises or falls all the way along each ramp, so that it reads without colour, too: warm for forgetting, blue for keeping.
const ramps = {
  cool: ["#f4f8fc #d3e3f3 #a3c7e8 #68a4d8 #337ab9 #12528f #07305d", "#11161d #133150 #175287 #2c7ac0 #62a6e0 #a3d0f3 #e8f5ff"],
  warm: ["#fdf8f2 #fbe2c6 #f6c08a #ea944c #c7681f #914510 #5a2907", "#17130f #3c2410 #6a3a12 #a35a1b #da8430 #f4b571 #fdeacf"],
};
const rampOf = name => ramps[name][dark.matches ? 1 : 0].split(" ").map(hex => [1, 3, 5].map(at => parseInt(hex.slice(at, at + 2), 16)));

function colour(ramp, share) {
  const at = Math.min(1, Math.max(0, share)) * (ramp.length - 1), low = Math.min(ramp.length - 2, Math.floor(at));
  return ramp[low].map((value, channel) => Math.round(value + (ramp[low + 1][channel] - value) * (at - low)));
}
const ink = ([red, green, blue]) => red * 0.299 + green * 0.587 + blue * 0.114 > 140 ? "#14181d" : "#ffffff";

/** Where a value lies on a logarithmic scale. */
const logScale = (low, high) => ({
  place: value => Math.log(value / low) / Math.log(high / low),
  ticks: decades(low, high),
});

function decades(low, high) {
  const ticks = [], few = Math.log10(high / low) < 2.5;
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high) + 1e-9; power++)
    for (const factor of few ? [1, 3] : [1]) {
      const tick = factor * 10 ** power;
      if (tick >= low * 0.999 && tick <= high * 1.001) ticks.push(tick);
    }
  return ticks;
}

function alphaScale() {
  const all = layers.flatMap(layer => [...layer.alpha]).sort((a, b) => a - b);
  const quantile = share => all[Math.floor(share * (all.length - 1))];
  const low = Math.max(quantile(0.01), 1e-5);
  return logScale(low, Math.max(quantile(0.995), low * 10));
}

const modes = {
  alpha: {
    name: "forgetting α", ramp: "warm", needsGate: true, scale: shape.gate ? alphaScale() : null, unit: "α",
    words: "The gate of each token and head: at a token with decay α the head keeps exp(−α) of its past. Strong colour forgets; a cut between two thoughts shows as a stripe.",
    values: (layer, head) => decays(layer, head),
    say: value => `α = ${figure(value)}: ${percent(Math.exp(-value))} of the past is kept here`,
  },
  left: {
    name: "what is left", ramp: "cool", needsGate: true, ofToken: true, unit: "exp(−Σα)",
    scale: { place: value => value, ticks: [0, 0.25, 0.5, 0.75, 1] },
    words: "Accumulated decay: what the gates between a token and the chosen one leave of it, exp(−Σα), whatever the scores say.",
    values: (layer, head, token) => left(layer, head, token),
    say: (value, distance) => `${percent(value)} is left after ${distance} tokens`,
  },
  gated: {
    name: shape.gate ? "attention" : "attention (no gate)", ramp: "cool", ofToken: true, unit: "attention", scale: logScale(0.001, 1),
    words: "Attention of the chosen token as the model computes it: its weights over the tokens that its window shows add up to 100%.",
    values: (layer, head, token) => attention(layer, head, token, true),
    say: (value, distance) => `${percent(value)} of the attention, ${distance} tokens back`,
  },
  ungated: {
    name: "attention without the gate", ramp: "cool", needsGate: true, ofToken: true, unit: "attention without the gate", scale: logScale(0.001, 1),
    words: "The same scores of queries and keys, but softmax without the decay's bias: what the head would look at if it forgot nothing.",
    values: (layer, head, token) => attention(layer, head, token, false),
    say: (value, distance) => `${percent(value)} of the attention without the gate, ${distance} tokens back`,
  },
};

// ── what is chosen ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The head that looks furthest has the most to show. */
function furthest() {
  let best = { layer: 0, head: 0, attention: -1 };
  layers.forEach((layer, l) => layer.reach.forEach(({ attention }, head) => {
    if (attention > best.attention) best = { layer: l, head, attention };
  }));
  return best;
}

const { layer: firstLayer, head: firstHead } = furthest();
const chosen = { mode: shape.gate ? "alpha" : "gated", layer: firstLayer, head: firstHead, token: data.chosen };

function choose(change) {
  Object.assign(chosen, change);
  chosen.token = Math.min(tokens.length - 1, Math.max(0, chosen.token));
  draw();
}

// ── pieces of the document ───────────────────────────────────────────────────────────────────────────────────────────────────────────

function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  Object.assign(made, properties);
  made.append(...children);
  return made;
}

function vector(name, attributes = {}, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function tip(event, ...content) {
  const box = $("tip");
  box.replaceChildren(...content);
  box.hidden = false;
  const { width, height } = box.getBoundingClientRect();
  box.style.left = `${Math.max(6, Math.min(innerWidth - width - 6, event.clientX + 14))}px`;
  box.style.top = `${event.clientY + 18 + height > innerHeight ? event.clientY - height - 12 : event.clientY + 18}px`;
}
const untip = () => { $("tip").hidden = true; };

/** A token in its surroundings. */
function context(token) {
  const around = (from, to) => glyphs.slice(Math.max(0, from), to).map(visible).join("");
  return element("code", {}, around(token - 14, token), element("b", { textContent: visible(glyphs[token]) }), around(token + 1, token + 9));
}

function explain(event, layer, head, token) {
  const mode = modes[chosen.mode], value = mode.values(layer, head, chosen.token)[token];
  const seen = Number.isNaN(value)
    ? token > chosen.token ? "comes after the chosen token" : "lies outside the chosen token's window"
    : mode.say(value, chosen.token - token);
  tip(event, context(token), element("div", { textContent: `token ${token} · ${headName(layer, head)}` }), element("div", { textContent: seen }));
}

// ── heat maps ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

const rowHeight = shape.layers * shape.heads > 60 ? 7 : 13;
const cell = () => Math.max(2, Math.floor(($("maps").clientWidth - 72) / tokens.length));

function drawMaps() {
  const mode = modes[chosen.mode], ramp = rampOf(mode.ramp), width = cell(), empty = [0, 0, 0, 0], scrolled = $("maps").scrollLeft;
  $("maps").replaceChildren(...layers.map((_, l) => {
    const canvas = element("canvas", { width: tokens.length, height: shape.heads });
    canvas.style.width = `${tokens.length * width}px`;
    canvas.style.height = `${shape.heads * rowHeight}px`;
    const image = new ImageData(tokens.length, shape.heads);
    for (let head = 0; head < shape.heads; head++) {
      mode.values(l, head, chosen.token).forEach((value, token) => {
        const pixel = Number.isNaN(value) ? empty : [...colour(ramp, mode.scale.place(value)), 255];
        image.data.set(pixel, (head * tokens.length + token) * 4);
      });
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
    const plot = element("div", { className: "plot" }, canvas);
    plot.dataset.layer = l;
    const line = element("i", { className: "token" });
    line.style.left = `${(chosen.token + 0.5) * width}px`;
    plot.append(line);
    if (l === chosen.layer) {
      const row = element("i");
      Object.assign(row.style, { left: "-2px", right: "-2px", top: `${chosen.head * rowHeight - 1}px`, height: `${rowHeight + 2}px` });
      plot.append(row);
    }
    return element("div", { className: "layer" }, element("span", { className: "name", textContent: `layer ${l + 1}` }), plot);
  }), axis(width));
  // Where the maps are wider than the screen, the chosen token stays in sight once it matters.
  const x = (chosen.token + 0.5) * width, wide = $("maps").clientWidth - 72;
  $("maps").scrollLeft = mode.ofToken && (x < scrolled || x > scrolled + wide) ? x - wide * 0.8 : scrolled;
}

function axis(width) {
  const step = [10, 20, 50, 100, 200, 500, 1000].find(size => size * width >= 60), ticks = element("div", { className: "axis" });
  ticks.style.width = `${tokens.length * width}px`;
  for (let token = step; token < tokens.length; token += step) {
    const tick = element("span", { textContent: token });
    tick.style.left = `${(token + 0.5) * width}px`;
    ticks.append(tick);
  }
  return element("div", { className: "layer" }, element("span", { className: "name", textContent: "token" }), ticks);
}

function placeOf(event) {
  const plot = event.target.closest(".plot");
  if (!plot) return null;
  const box = plot.getBoundingClientRect(), share = (value, size) => Math.min(size - 1, Math.max(0, Math.floor(value * size)));
  return {
    layer: +plot.dataset.layer,
    head: share((event.clientY - box.top) / box.height, shape.heads),
    token: share((event.clientX - box.left) / box.width, tokens.length),
  };
}

function drawLegend() {
  const mode = modes[chosen.mode], ramp = rampOf(mode.ramp);
  const bar = element("div", { className: "colours" }), ticks = element("div", { className: "ticks" });
  bar.style.background = `linear-gradient(90deg, ${ramp.map(stop => `rgb(${stop})`).join(",")})`;
  for (const tick of mode.scale.ticks) {
    const label = element("span", { textContent: mode.unit.startsWith("attention") ? percent(tick) : figure(tick) });
    label.style.left = `${mode.scale.place(tick) * 100}%`;
    ticks.append(label);
  }
  $("legend").replaceChildren(element("div", { className: "ramp" }, element("span", { textContent: mode.unit }), bar, ticks));
}

// ── the text ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

const spans = glyphs.map((glyph, token) => {
  const span = element("span", { textContent: glyph === "\n" ? "↵\n" : glyph === "\t" ? "⇥\t" : glyph });
  span.dataset.token = token;
  return span;
});
$("text").append(...spans);

function drawText() {
  const mode = modes[chosen.mode], ramp = rampOf(mode.ramp), values = mode.values(chosen.layer, chosen.head, chosen.token);
  spans.forEach((span, token) => {
    const seen = !Number.isNaN(values[token]), shade = seen ? colour(ramp, mode.scale.place(values[token])) : null;
    span.style.background = seen ? `rgb(${shade})` : "";
    span.style.color = seen ? ink(shade) : "";
    span.className = (seen ? "" : "off ") + (token === chosen.token ? "chosen" : "");
  });
}

// ── charts ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A frame with a logarithmic y axis; x and y give places, and the picture grows into the group. */
function frame(host, { height, left, right, bottom, low, high, x, xTicks, xName, yName, yTick, label }) {
  const width = Math.max(320, host.clientWidth), top = 26;
  const svg = vector("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  const inner = { left, right: width - right, top, bottom: height - bottom };
  const placeX = value => inner.left + x(value) * (inner.right - inner.left);
  const placeY = value => inner.bottom - Math.log(Math.max(value, low) / low) / Math.log(high / low) * (inner.bottom - inner.top);
  let ticks = decades(low, high).filter(tick => /^1(e|0*$|\.?0*$)/.test(tick.toExponential()));
  while (ticks.length > 7) ticks = ticks.filter((_, i) => i % 2 === 0);
  for (const tick of ticks) {
    svg.append(vector("line", { class: "grid", x1: inner.left, x2: inner.right, y1: placeY(tick), y2: placeY(tick) }));
    svg.append(vector("text", { x: inner.left - 8, y: placeY(tick) + 4, "text-anchor": "end" }, yTick(tick)));
  }
  for (const tick of xTicks) svg.append(vector("text", { x: placeX(tick), y: inner.bottom + 19, "text-anchor": "middle" }, count(tick)));
  svg.append(vector("text", { x: (inner.left + inner.right) / 2, y: height - 6, "text-anchor": "middle" }, xName));
  svg.append(vector("text", { x: 2, y: 13 }, yName));
  host.append(svg);
  return { svg, inner, placeX, placeY };
}

const path = points => points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");

function keySwatch(text, stroke, dash = "") {
  const svg = vector("svg", { width: 26, height: 10 });
  svg.append(vector("line", { x1: 0, x2: 26, y1: 5, y2: 5, stroke, "stroke-width": 2.5, "stroke-dasharray": dash }));
  return element("span", { className: "key" }, svg, text);
}

function drawOne() {
  const host = $("one"), { layer, head, token } = chosen, far = token - firstKey(token);
  const gated = attention(layer, head, token, true), plain = attention(layer, head, token, false);
  const lines = [{ name: "attention without the gate", values: plain, stroke: "var(--ungated)", dash: "6 3" }];
  if (shape.gate) lines.push({ name: "what the decay leaves, exp(−Σα)", values: left(layer, head, token), stroke: "var(--decay)", dash: "2 3" });
  lines.push({ name: shape.gate ? "attention" : "attention (no gate)", values: gated, stroke: "var(--gated)", dash: "" });
  if (!shape.gate) lines.shift();
  const words = `Token ${token}, “${visible(glyphs[token])}”, in ${headName(layer, head)}: `;
  const reach = within(gated, token);
  $("one-words").textContent = words + (shape.gate
    ? `90% of its attention lies within ${reach} tokens; without the gate it would be ${within(plain, token)}. ` +
      "The decay lowers every weight along the dotted line, and softmax then shares out 100% again."
    : `90% of its attention lies within ${reach} tokens.`);
  host.replaceChildren(element("div", { className: "legend" }, ...lines.toReversed().map(line => keySwatch(line.name, line.stroke, line.dash))));
  if (far < 1) {
    host.append(element("p", { className: "facts", textContent: "This token sees only itself; choose a later one." }));
    return;
  }
  const step = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].find(size => far / size <= Math.max(4, host.clientWidth / 110));
  const { svg, inner, placeX, placeY } = frame(host, {
    height: 300, left: 58, right: 14, bottom: 44, low: 1e-4, high: 1, x: distance => distance / far,
    xTicks: Array.from({ length: Math.floor(far / step) + 1 }, (_, i) => i * step),
    xName: "tokens back from the chosen one", yName: "weight (logarithmic; below 0.01% at the floor)", yTick: percent,
    label: "Weights of the chosen head by distance, with and without the gate",
  });
  for (const line of lines) {
    const points = Array.from({ length: far + 1 }, (_, distance) => [placeX(distance), placeY(line.values[token - distance])]);
    svg.append(vector("path", { class: "line", d: path(points), stroke: line.stroke, "stroke-dasharray": line.dash }));
  }
  svg.append(vector("line", { class: "edge", x1: placeX(reach), x2: placeX(reach), y1: inner.top, y2: inner.bottom }));
  svg.append(vector("text", { x: placeX(reach) + 5, y: inner.top + 11 }, "90%"));
  const cross = vector("line", { class: "grid", y1: inner.top, y2: inner.bottom, visibility: "hidden" });
  svg.append(cross);
  svg.addEventListener("pointermove", event => {
    const box = svg.getBoundingClientRect(), scale = svg.viewBox.baseVal.width / box.width;
    const distance = Math.round(((event.clientX - box.left) * scale - inner.left) / (inner.right - inner.left) * far);
    if (distance < 0 || distance > far) return;
    for (const end of ["x1", "x2"]) cross.setAttribute(end, placeX(distance));
    cross.setAttribute("visibility", "visible");
    tip(event, context(token - distance), element("div", { textContent: `token ${token - distance}, ${distance} back` }),
      ...lines.toReversed().map(line => element("div", { textContent: `${line.name}: ${percent(line.values[token - distance])}` })));
  });
  svg.addEventListener("pointerleave", () => { cross.setAttribute("visibility", "hidden"); untip(); });
}

// ── reach ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

function drawReach() {
  const longest = Math.log(1 + Math.min(tokens.length, shape.window ?? tokens.length)), place = value => 100 * Math.min(1, Math.log(1 + value) / longest);
  const beyond = `>${Math.floor((data.measuredFrom + tokens.length) / 2)}`, or = value => value === null ? beyond : figure(value);
  $("reach-keys").replaceChildren(keySwatch(shape.gate ? "attention, 90%" : "attention, 90% (no gate)", "var(--gated)"),
    ...(shape.gate ? [keySwatch("the same without the gate", "var(--ungated)", "6 3"), keySwatch("decay alone: a half and a hundredth left", "var(--decay)", "2 3")] : []));
  const header = element("tr", {}, element("th"), ...Array.from({ length: shape.heads }, (_, head) => element("th", { scope: "col", textContent: `head ${head + 1}` })));
  $("reach").replaceChildren(header, ...layers.map((layer, l) => element("tr", {},
    element("th", { scope: "row", textContent: `layer ${l + 1}` }),
    ...layer.reach.map((reach, head) => {
      const bars = vector("svg", { viewBox: "0 0 100 16", preserveAspectRatio: "none", "aria-hidden": "true" });
      const bar = (y, from, to, stroke, dash) => bars.append(vector("line", { x1: from, x2: to, y1: y, y2: y, stroke, "stroke-width": 4, "stroke-dasharray": dash ?? "", "vector-effect": "non-scaling-stroke" }));
      bar(3, 0, place(reach.attention), "var(--gated)");
      if (shape.gate) {
        bar(8.5, 0, place(reach.withoutGate), "var(--ungated)", "6 3");
        bar(14, place(reach.halfLife ?? Infinity), place(reach.hundredthLife ?? Infinity), "var(--decay)", "2 3");
      }
      const words = shape.gate
        ? [`without the gate ${figure(reach.withoutGate)}`, `½ left at ${or(reach.halfLife)}, 1/100 at ${or(reach.hundredthLife)}`]
        : ["no gate"];
      const button = element("button", { type: "button" },
        element("b", { textContent: figure(reach.attention) }), " tokens", bars, ...words.map(textContent => element("small", { textContent })));
      button.setAttribute("aria-pressed", l === chosen.layer && head === chosen.head);
      button.addEventListener("click", () => choose({ layer: l, head }));
      return element("td", {}, button);
    }))));
}

// ── gradients ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Every distance near by, means of 1/8 octaves further away; what is beyond the window's reach is one point, 0. */
function thinned(norms) {
  const points = [], end = norms.findLastIndex(norm => norm > 0) + 1;
  for (let from = 1; from <= end;) {
    const to = Math.min(end, Math.max(from, Math.ceil(from * 2 ** 0.125) - 1)), bin = norms.slice(from - 1, to);
    points.push([Math.sqrt(from * to), bin.reduce((sum, norm) => sum + norm, 0) / bin.length]);
    from = to + 1;
  }
  if (end < norms.length) points.push([Math.max(1, end), 0]);
  return points;
}

function drawGradients() {
  const own = data.gradients[0], same = data.gradients.filter(series => series.origin === "SameWeights");
  const others = data.gradients.filter(series => series.origin === "Compared");
  const facets = [];
  if (same.length || !others.length) facets.push({
    title: same.length ? "Same weights, other attention" : "This model",
    words: same.length ? "Window or gate switched off in the model that is inspected, which was not trained so: what that piece does for the weights that are there." : "",
    lines: [own, ...same],
  });
  if (others.length) facets.push({ title: "Models trained with their attention", words: "The model that is inspected beside others, each with its own weights.", lines: [own, ...others] });
  const all = data.gradients.flatMap(series => thinned(series.norms).map(point => point[1])).filter(norm => norm > 0);
  const high = 10 ** Math.ceil(Math.log10(Math.max(...all))), low = Math.max(high * 1e-8, 10 ** Math.floor(Math.log10(Math.min(...all))));
  const farthest = Math.max(...data.gradients.map(series => series.norms.length));
  $("gradient-words").textContent =
    `means over ${own.predictions} predictions of the text, each with the ${count(own.norms.length)} tokens before it.`;
  $("gradients").replaceChildren(...facets.map(facet => {
    const host = element("div", {}, element("h3", { textContent: facet.title }));
    if (facet.words) host.append(element("p", { textContent: facet.words }));
    return host;
  }));
  facets.forEach((facet, i) => drawFacet($("gradients").children[i], facet, low, high, farthest));
}

const dashes = ["", "7 3", "2 3", "9 3 2 3", "4 2", "12 4"];

function drawFacet(host, { lines, title }, low, high, farthest) {
  const strokes = lines.map(series => `var(--${series.mixer ?? "other"}, var(--other))`);
  host.append(element("div", { className: "legend" }, ...lines.map((series, i) =>
    keySwatch(i === 0 ? `${series.name}: ${series.attention}` : series.origin === "Compared" ? `${series.name}: ${series.attention}` : series.attention, strokes[i], dashes[i % dashes.length]))));
  const ticks = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384].filter(tick => tick <= farthest);
  const few = ticks.filter((_, i) => ticks.length <= 7 || i % 2 === 0);
  const { svg, inner, placeX, placeY } = frame(host, {
    height: 360, left: 58, right: 16, bottom: 44, low, high, x: distance => Math.log(distance) / Math.log(Math.max(2, farthest)),
    xTicks: few, xName: "tokens before the predicted one (logarithmic)", yName: "gradient norm (nats per unit of embedding, logarithmic)",
    yTick: powerOfTen, label: title,
  });
  lines.forEach((series, i) => {
    const points = thinned(series.norms), ends = points.findIndex(point => point[1] < low);
    // A line ends where it first falls below the floor: along it, it would seem to go on.
    const drawn = (ends < 0 ? points : points.slice(0, ends + 1)).map(([distance, norm]) => [placeX(distance), placeY(norm)]);
    svg.append(vector("path", { class: "line", d: path(drawn), stroke: strokes[i], "stroke-dasharray": dashes[i % dashes.length], "stroke-width": i ? 2 : 3 }));
  });
  const reaches = [...new Set(lines.map(series => series.reach).filter(reach => reach !== null && reach < farthest))];
  for (const reach of reaches) {
    svg.append(vector("line", { class: "edge", x1: placeX(reach), x2: placeX(reach), y1: inner.top, y2: inner.bottom }));
    svg.append(vector("text", { x: placeX(reach) - 5, y: inner.top + 11, "text-anchor": "end" }, `window's reach ${count(reach)}`));
  }
  svg.addEventListener("pointermove", event => {
    const box = svg.getBoundingClientRect(), scale = svg.viewBox.baseVal.width / box.width;
    const share = ((event.clientX - box.left) * scale - inner.left) / (inner.right - inner.left);
    const distance = Math.round(Math.max(2, farthest) ** share);
    if (distance < 1 || distance > farthest) return untip();
    tip(event, element("div", { textContent: `${count(distance)} tokens before` }), ...lines.map(series =>
      element("div", { textContent: `${series.attention}: ${distance <= series.norms.length ? figure(series.norms[distance - 1]) : "not measured"}` })));
  });
  svg.addEventListener("pointerleave", untip);
}

// ── the page ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

function draw() {
  for (const button of $("modes").children) button.setAttribute("aria-pressed", button.dataset.mode === chosen.mode);
  const mode = modes[chosen.mode];
  $("mode-words").textContent = mode.words;
  $("head").value = chosen.layer * shape.heads + chosen.head;
  $("token").value = chosen.token;
  drawLegend();
  drawMaps();
  drawText();
  drawOne();
  drawReach();
}

function start() {
  const { model, text } = data;
  $("facts").textContent = `${model.attention} · ${shape.layers} layers, ${model.heads} · ${count(model.parameters)} parameters`;
  $("no-gate").hidden = shape.gate;
  $("reach-words").hidden = !shape.gate;
  const part = tokens.length < text.bytes ? `the first ${count(tokens.length)} of ${count(text.bytes)} bytes of ${text.name}` : `all ${count(text.bytes)} bytes of ${text.name}`;
  $("shown").textContent = part;
  $("measured").textContent = data.measuredFrom;
  $("footer").textContent = `A token is a byte. Gates, attention and reach are those of ${part}, read as one document; gradients are taken all over it. ` +
    "Queries and keys are kept in half precision here: attention on this page is right to about 0.1%. Distances count tokens; a token's own distance is 0.";
  for (const [name, mode] of Object.entries(modes)) {
    if (mode.needsGate && !shape.gate) continue;
    const button = element("button", { type: "button", textContent: mode.name });
    button.dataset.mode = name;
    button.addEventListener("click", () => choose({ mode: name }));
    $("modes").append(button);
  }
  layers.forEach((_, l) => {
    for (let head = 0; head < shape.heads; head++) $("head").append(element("option", { value: l * shape.heads + head, textContent: headName(l, head) }));
  });
  $("head").addEventListener("change", event => choose({ layer: Math.floor(event.target.value / shape.heads), head: event.target.value % shape.heads }));
  $("token").max = tokens.length - 1;
  $("token").addEventListener("change", event => choose({ token: Math.trunc(+event.target.value) || 0 }));
  $("back").addEventListener("click", () => choose({ token: chosen.token - 1 }));
  $("on").addEventListener("click", () => choose({ token: chosen.token + 1 }));
  $("text").addEventListener("keydown", event => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    choose({ token: chosen.token + step });
  });
  const tokenOf = event => event.target.dataset?.token;
  $("text").addEventListener("click", event => {
    if (tokenOf(event) === undefined) return;
    choose({ token: +tokenOf(event) });
    explain(event, chosen.layer, chosen.head, chosen.token);
  });
  $("text").addEventListener("pointermove", event => tokenOf(event) === undefined ? untip() : explain(event, chosen.layer, chosen.head, +tokenOf(event)));
  $("text").addEventListener("pointerleave", untip);
  $("maps").addEventListener("pointermove", event => {
    const place = placeOf(event);
    if (place) explain(event, place.layer, place.head, place.token);
    else untip();
  });
  $("maps").addEventListener("pointerleave", untip);
  $("maps").addEventListener("click", event => {
    const place = placeOf(event);
    if (!place) return;
    choose(place);
    explain(event, place.layer, place.head, place.token);
  });
  const redraw = () => { draw(); drawGradients(); };
  dark.addEventListener("change", redraw);
  let width = innerWidth;
  // Phones report a resize whenever their address bar moves.
  addEventListener("resize", () => { if (width !== innerWidth) { width = innerWidth; redraw(); } });
  addEventListener("scroll", untip, { passive: true });
  redraw();
}

start();
