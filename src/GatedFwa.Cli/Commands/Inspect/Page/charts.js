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
  if (shape.gate) {
    lines.push({ name: "what the decay leaves, exp(−Σα)", values: left(layer, head, token), stroke: "var(--decay)", dash: "2 3" });
  }
  lines.push({ name: shape.gate ? "attention" : "attention (no gate)", values: gated, stroke: "var(--gated)", dash: "" });
  if (!shape.gate) lines.shift();
  const words = `Token ${token}, “${visible(glyphs[token])}”, in ${headName(layer, head)}: `;
  const reach = within(gated, token);
  $("one-words").textContent = words + (shape.gate
    ? `90% of its attention lies within ${reach} tokens; without the gate within ${within(plain, token)}. ` +
      "The decay lowers every weight along the dotted line, and softmax then shares out 100% again."
    : `90% of its attention lies within ${reach} tokens.`);
  const keys = lines.toReversed().map(line => keySwatch(line.name, line.stroke, line.dash));
  host.replaceChildren(element("div", { className: "legend" }, ...keys));
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
