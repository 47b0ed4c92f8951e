// The page: scenes, and how map, layers and legend hang together.

import * as server from "./server.js";
import { Legend } from "./legend.js";
import { TileMap } from "./map.js";
import { byId, coordinate, make, showLayers, showNotes, showPlace } from "./panel.js";

let map, legend, scene;

function complain(sentence) {
  byId("message").textContent = sentence;
  byId("message").hidden = !sentence;
}

async function start() {
  const contents = await server.contents();
  document.title = `${contents.title} · rsseg`;
  byId("title").textContent = contents.title;
  map = new TileMap(byId("map"), byId("canvas"), contents.tile, { moved, pointed, picked, failed });
  legend = new Legend(contents.ramp, recoloured);
  for (const one of contents.scenes) prepare(one);
  byId("scene").replaceChildren(...contents.scenes.map((one, place) => new Option(one.title, place)));
  byId("scene-choice").hidden = contents.scenes.length < 2;
  byId("scene").addEventListener("change", () => open(contents.scenes[byId("scene").value]));
  byId("legend-of").addEventListener("change", () => legend.show(scene.layers.find(chosen)));
  byId("in").addEventListener("click", () => map.zoomBy(2));
  byId("out").addEventListener("click", () => map.zoomBy(0.5));
  byId("one").addEventListener("click", () => map.zoomBy(1 / map.zoom));
  byId("fit").addEventListener("click", () => map.fit());
  byId("close").addEventListener("click", () => { forget(); byId("map").focus(); });
  byId("view").addEventListener("keydown", (event) => { if (event.key === "Escape") forget(); });
  open(contents.scenes[0]);
}

// At first the scene and its first map are seen.
function prepare(one) {
  const first = one.layers.find((layer) => layer.kind === "map");
  for (const layer of one.layers) {
    layer.visible = layer === first || layer.kind === "scene";
    layer.opacity = 1;
  }
}

const chosen = (layer) => String(layer.id) === byId("legend-of").value;

function open(one) {
  scene = one;
  complain("");
  byId("grid").textContent = byId("grid").title = scene.grid;
  showNotes(scene.notes);
  forget();
  const maps = scene.layers.filter((layer) => layer.kind !== "scene");
  byId("legend-of").replaceChildren(...maps.map((layer) => new Option(layer.title, layer.id)));
  refresh();
  const first = maps.find((layer) => layer.kind === "map");
  if (first) byId("legend-of").value = first.id;
  legend.show(first ?? maps[0] ?? null);
}

// A layer that is made visible shows its legend.
function shown(layer) {
  if (layer.kind === "scene" || chosen(layer)) return;
  byId("legend-of").value = layer.id;
  legend.show(layer);
}

function forget() {
  byId("place").hidden = true;
  byId("here").replaceChildren();
  map.mark(null);
  legend.mark(null);
}

function refresh() {
  showLayers(scene.layers, redraw, shown, reorder);
  redraw();
}

function redraw() { map.show(scene, [...scene.layers].reverse()); }

function reorder(from, to) {
  const [layer] = scene.layers.splice(from, 1);
  scene.layers.splice(to, 0, layer);
  refresh();
  const buttons = byId("layers").children[to].querySelectorAll(".order button");
  const [pressed, other] = to < from ? buttons : [...buttons].reverse();
  (pressed.disabled ? other : pressed).focus();
}

function recoloured(layer, answer) {
  if (layer.version !== answer.version) {
    layer.before = layer.version;
    layer.version = answer.version;
  }
  map.draw();
  if (map.marked) picked(...map.marked);
}

function moved() {
  byId("loading").hidden = map.loading === 0;
  const zoom = `zoom ${round(100 * map.zoom)} %`;
  const metres = scene.metres ? `, ${round(scene.metres[1] / map.zoom)} m a screen pixel` : "";
  const unit = scene.metres ? scene.metres[1] : 1;
  const most = 130 / map.zoom * unit, power = 10 ** Math.floor(Math.log10(most));
  const length = power * [5, 2, 1].find((digit) => digit * power <= most);
  byId("bar").style.width = `${length / unit * map.zoom}px`;
  const text = scene.metres ? (length >= 1000 ? `${length / 1000} km` : `${round(length)} m`) : `${round(length)} px`;
  byId("scale").textContent = `${text} · ${zoom}${metres}`;
}

const round = (value) => String(Number(value.toPrecision(3)));

function pointed(found) {
  if (!found) { byId("cursor").textContent = ""; return; }
  const [row, col] = found, [a, b, c, d, e, f] = scene.transform;
  const x = a * (col + 0.5) + b * (row + 0.5) + c, y = d * (col + 0.5) + e * (row + 0.5) + f;
  const place = scene.units === "none" ? "" : ` · ${coordinate(x, scene.units)}, ${coordinate(y, scene.units)}`;
  byId("cursor").textContent = `row ${row}, column ${col}${place}`;
}

async function picked(row, col) {
  const asked = scene;
  map.mark([row, col]);
  try {
    const told = await server.pixel(asked.id, row, col);
    if (scene !== asked || map.marked?.join() !== [row, col].join()) return;
    complain("");
    byId("place").hidden = false;
    showPlace(scene, told);
    legend.mark(told.layers);
  } catch (problem) {
    complain(problem.message);
  }
}

// An image cannot say why it did not come; asking again can.
async function failed(address) {
  try {
    const response = await fetch(address);
    complain(response.ok ? "A tile could not be shown; reload the page." : (await response.json()).error);
  } catch {
    complain("rsseg does not answer; was it stopped? Start rsseg view again and reload the page.");
  }
}

start().catch((problem) => complain(problem.message));
