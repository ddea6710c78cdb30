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

function gradientFacets() {
  const own = data.gradients[0], of = origin => data.gradients.filter(series => series.origin === origin);
  const same = of("SameWeights"), others = of("Compared"), facets = [];
  if (same.length) facets.push({
    title: "Same weights, other attention",
    words: "Window or gate switched off in the model that is inspected, which was not trained so: what that piece does for the weights " +
      "that are there.",
    lines: [own, ...same],
  });
  if (others.length) facets.push({
    title: "Models trained with their attention",
    words: "The model that is inspected beside others, each with its own weights.",
    lines: [own, ...others],
  });
  return facets.length ? facets : [{ title: "This model", words: "", lines: [own] }];
}

function drawGradients() {
  const own = data.gradients[0], facets = gradientFacets();
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
  // Weights that were borrowed have no name of their own.
  const nameOf = series => series.origin === "SameWeights" ? series.attention : `${series.name}: ${series.attention}`;
  const dashOf = i => dashes[i % dashes.length];
  host.append(element("div", { className: "legend" }, ...lines.map((series, i) => keySwatch(nameOf(series), strokes[i], dashOf(i)))));
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
    svg.append(vector("path", { class: "line", d: path(drawn), stroke: strokes[i], "stroke-dasharray": dashOf(i) }));
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
    const say = series => distance <= series.norms.length ? figure(series.norms[distance - 1]) : "not measured";
    tip(event, element("div", { textContent: `${count(distance)} tokens before` }),
      ...lines.map(series => element("div", { textContent: `${nameOf(series)}: ${say(series)}` })));
  });
  svg.addEventListener("pointerleave", untip);
}
