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
  let few = mode.scale.ticks;
  while (few.length > 5) few = few.filter((_, i) => (few.length - 1 - i) % 2 === 0);
  const words = tick => mode.unit.startsWith("attention") ? percent(tick) : tick > 0 && tick < 0.001 ? powerOfTen(tick) : figure(tick);
  for (const tick of few) {
    const label = element("span", { textContent: words(tick) });
    label.style.left = `${mode.scale.place(tick) * 100}%`;
    ticks.append(label);
  }
  $("legend").replaceChildren(element("div", { className: "ramp" }, element("span", { textContent: mode.unit }), bar, ticks));
}

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
