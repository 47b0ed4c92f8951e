// The panel beside the map: its layers, and what they say of a place. Names go in as text, never as markup.

export const byId = (id) => document.getElementById(id);

export function make(tag, content = {}, ...children) {
  const element = Object.assign(document.createElement(tag), content);
  element.append(...children);
  return element;
}

export function swatch(colour) {
  const element = make("span", { className: "swatch" });
  element.style.backgroundColor = colour;
  return element;
}

const percent = (share) => `${Math.round(100 * share)} %`;

// Rows for the layers, the uppermost first; changed() is called after each change, shown(layer) when one
// becomes visible, ordered(from, to) to move one.
export function showLayers(layers, changed, shown, ordered) {
  byId("layers").replaceChildren(...layers.map((layer, place) => {
    const visible = make("input", { type: "checkbox", checked: layer.visible });
    const see = (seen) => {
      layer.visible = visible.checked = seen;
      if (seen) shown(layer);
    };
    visible.addEventListener("change", () => { see(visible.checked); changed(); });
    const opacity = make("input", {
      type: "range", min: 0, max: 100, value: Math.round(100 * layer.opacity),
      title: `Opacity ${percent(layer.opacity)}`,
    });
    opacity.setAttribute("aria-label", `Opacity of ${layer.title}`);
    opacity.addEventListener("input", () => {
      layer.opacity = opacity.value / 100;
      opacity.title = `Opacity ${percent(layer.opacity)}`;
      if (!layer.visible) see(true);
      changed();
    });
    const button = (text, words, to) => {
      const element = make("button", { type: "button", textContent: text, title: words });
      element.setAttribute("aria-label", `Move ${layer.title} ${words.toLowerCase()}`);
      element.disabled = to < 0 || to >= layers.length;
      element.addEventListener("click", () => ordered(place, to));
      return element;
    };
    const arrows = [button("↑", "Up", place - 1), button("↓", "Down", place + 1)];
    const order = make("span", { className: "order" }, ...arrows);
    const title = make("span", { className: "title", textContent: layer.title });
    const row = make("li", {}, make("label", {}, visible, title), opacity, order);
    row.dataset.layer = layer.id;
    return row;
  }));
}

export function showNotes(notes) {
  byId("notes").replaceChildren(...notes.map((text) => make("li", { textContent: text })));
}

function table(caption, rows) {
  const body = rows.map(([name, value]) => {
    const head = make("th", { scope: "row", textContent: name });
    return make("tr", {}, head, make("td", {}, ...[value].flat()));
  });
  return make("table", {}, make("caption", { textContent: caption }), ...body);
}

export const coordinate = (value, units) => value.toFixed(units === "degrees" ? 6 : 2);

// What all layers say of a place.
export function showPlace(scene, told) {
  const where = [["row, column", `${told.row}, ${told.col}`]];
  if (scene.units !== "none") {
    const names = scene.units === "degrees" ? "longitude, latitude" : "x, y";
    where.push([names, `${coordinate(told.x, scene.units)}, ${coordinate(told.y, scene.units)}`]);
  }
  const tables = [table("Position", where)];
  const answers = scene.layers.map((layer) => [layer, told.layers[layer.id]]).filter(([, answer]) => answer);
  const maps = answers.filter(([layer]) => layer.valued).map(([layer, answer]) => mapRow(layer, answer, answers));
  if (maps.length) tables.push(table("Maps", maps));
  const shares = answers.filter(([layer, answer]) => "share" in answer && layer.kind !== "confidence");
  if (shares.length) tables.push(table("Comparison", shares.map(([layer, answer]) => [layer.title, share(answer)])));
  for (const [layer, answer] of answers) if (layer.kind === "scene") tables.push(sceneTable(answer));
  byId("here").replaceChildren(...tables);
}

const share = (answer) => answer.share === null ? "no data" : answer.share.toFixed(2);

function mapRow(layer, answer, answers) {
  if (!answer.value) return [layer.title, layer.kind === "reference" ? "none" : "no data"];
  const sure = answers.find(([other, it]) => other.kind === "confidence" && layer.named && it.about === layer.title);
  const words = [answer.name === `cluster ${answer.value}` ? answer.name : `${answer.name} (${answer.value})`];
  if (sure && sure[1].share !== null) words.push(`, confidence\u00a0${share(sure[1])}`);
  return [layer.title, [swatch(answer.colour), ...words]];
}

function sceneTable(answer) {
  const bands = Object.entries(answer.bands);
  const caption = { reflectance: "Reflectance", radiance: "Radiance (W m⁻² sr⁻¹ µm⁻¹)" }[answer.units] ??
    "Stored values (uncalibrated)";
  const digits = answer.units === "reflectance" ? 4 : 2;
  const rows = bands.map(([name, value]) =>
    [name, Number.isInteger(value) ? String(value) : value.toFixed(digits)]);
  return table(caption, rows.length ? rows : [["scene", "no data"]]);
}
