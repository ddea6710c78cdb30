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
$("has-blocks").hidden = !shape.hasBlocks;
  $("reach-words").hidden = !shape.gate;
  const all = `${count(text.bytes)} bytes of ${text.name}`;
  const part = tokens.length < text.bytes ? `the first ${count(tokens.length)} of ${all}` : `all ${all}`;
  $("shown").textContent = part;
  $("measured").textContent = data.measuredFrom;
  $("footer").textContent =
    `A token is a byte. Gates, attention and reach are those of ${part}, read as one document; gradients are taken all over it. ` +
    "Distances count tokens; a token's own distance is 0. The page keeps queries and keys in half precision and computes attention from " +
    "them where it is looked at; figures of reach were computed before, in double.";
  for (const [name, mode] of Object.entries(modes)) {
    if (mode.needsGate && !shape.gate) continue;
    const button = element("button", { type: "button", textContent: mode.name });
    button.dataset.mode = name;
    button.addEventListener("click", () => choose({ mode: name }));
    $("modes").append(button);
  }
  layers.forEach((_, l) => {
    for (let head = 0; head < shape.heads; head++)
      $("head").append(element("option", { value: l * shape.heads + head, textContent: headName(l, head) }));
  });
  $("head").addEventListener("change", event => {
    const at = +event.target.value;
    choose({ layer: Math.floor(at / shape.heads), head: at % shape.heads });
  });
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
  $("text").addEventListener("pointermove", event => {
    if (tokenOf(event) === undefined) untip();
    else explain(event, chosen.layer, chosen.head, +tokenOf(event));
  });
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
