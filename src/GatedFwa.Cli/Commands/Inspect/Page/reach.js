const reachKeys = [
  { name: shape.gate ? "attention, 90%" : "attention, 90% (no gate)", stroke: "var(--gated)", dash: "" },
  ...(shape.gate ? [
    { name: "the same without the gate", stroke: "var(--ungated)", dash: "6 3" },
    { name: "decay alone: a half and a hundredth left", stroke: "var(--decay)", dash: "2 3" },
  ] : []),
];

function drawReach() {
  $("reach-keys").replaceChildren(...reachKeys.map(key => keySwatch(key.name, key.stroke, key.dash)));
  const names = Array.from({ length: shape.heads }, (_, head) => element("th", { scope: "col", textContent: `head ${head + 1}` }));
  $("reach").replaceChildren(element("tr", {}, element("th"), ...names), ...layers.map((layer, l) => element("tr", {},
    element("th", { scope: "row", textContent: `layer ${l + 1}` }),
    ...layer.reach.map((reach, head) => element("td", {}, reachButton(reach, l, head))))));
}

function reachButton(reach, layer, head) {
  const beyond = `>${Math.floor((data.measuredFrom + tokens.length) / 2)}`, or = value => value === null ? beyond : figure(value);
  const words = shape.gate
    ? [`without the gate ${figure(reach.withoutGate)}`, `½ left at ${or(reach.halfLife)}, 1/100 at ${or(reach.hundredthLife)}`]
    : ["no gate"];
  const button = element("button", { type: "button" }, element("b", { textContent: figure(reach.attention) }), " tokens", reachBars(reach),
    ...words.map(textContent => element("small", { textContent })));
  button.setAttribute("aria-pressed", layer === chosen.layer && head === chosen.head);
  button.addEventListener("click", () => choose({ layer, head }));
  return button;
}

function reachBars(reach) {
  const bars = vector("svg", { viewBox: "0 0 100 16", preserveAspectRatio: "none", "aria-hidden": "true" });
  const longest = Math.log(1 + Math.min(tokens.length, shape.window ?? tokens.length));
  const place = value => value === null ? 100 : 100 * Math.min(1, Math.log(1 + value) / longest);
  const spans = [[0, reach.attention], [0, reach.withoutGate], [reach.halfLife, reach.hundredthLife]];
  reachKeys.forEach(({ stroke, dash }, i) => bars.append(vector("line", {
    x1: place(spans[i][0]), x2: place(spans[i][1]), y1: 3 + 5.5 * i, y2: 3 + 5.5 * i,
    stroke, "stroke-width": 4, "stroke-dasharray": dash, "vector-effect": "non-scaling-stroke",
  })));
  return bars;
}
