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
  const itself = element("b", { textContent: visible(glyphs[token]) });
  return element("code", {}, around(token - 14, token), itself, around(token + 1, token + 9));
}

function explain(event, layer, head, token) {
  const mode = modes[chosen.mode], value = mode.values(layer, head, chosen.token)[token];
  const seen = Number.isNaN(value)
    ? token > chosen.token ? "comes after the chosen token" : "lies outside the chosen token's window"
    : mode.say(value, chosen.token - token);
  const place = `token ${token} · ${headName(layer, head)}`;
  tip(event, context(token), element("div", { textContent: place }), element("div", { textContent: seen }));
}
