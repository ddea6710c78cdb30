function figure(value) {
  if (value === null || value === undefined) return "–";
  if (value !== 0 && Math.abs(value) < 0.001) return value.toExponential(1).replace("-", "−");
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : Math.abs(value) >= 1 ? 2 : 3;
  return value.toFixed(digits).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
}

const raised = { "-": "⁻", ...Object.fromEntries([..."⁰¹²³⁴⁵⁶⁷⁸⁹"].map((digit, i) => [i, digit])) };
const powerOfTen = value => `10${[...String(Math.round(Math.log10(value)))].map(digit => raised[digit]).join("")}`;
const percent = value => value > 0 && value < 1e-5 ? "less than 0.001%" : `${figure(value * 100)}%`;
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
    words: "The gate of each token and head: at a token with decay α the head keeps exp(−α) of its past. Strong colour forgets; a cut " +
      "between two thoughts shows as a stripe.",
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
    name: "attention without the gate", ramp: "cool", needsGate: true, ofToken: true, unit: "attention",
    scale: logScale(0.001, 1),
    words: "The same scores of queries and keys, but softmax without the decay's bias: what the head would look at if it forgot nothing.",
    values: (layer, head, token) => attention(layer, head, token, false),
    say: (value, distance) => `${percent(value)} of the attention without the gate, ${distance} tokens back`,
  },
};
