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
