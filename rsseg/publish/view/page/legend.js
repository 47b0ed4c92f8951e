// The legend of a map: its classes with their shares, and renaming them in place.

import * as server from "./server.js";
import { byId, make, swatch } from "./panel.js";

export class Legend {
  // changed(layer, answer) is called after renaming.
  constructor(ramp, changed) {
    this.changed = changed;
    this.layer = null;
    this.told = null;   // what the layers say of the place that was asked for, by layer
    this.editing = 0;
    paintRamp(ramp);
    byId("copy").addEventListener("click", () => this.copy());
    byId("command").addEventListener("focus", (event) => event.target.select());
  }

  async show(layer) {
    this.layer = layer;
    this.editing = 0;
    byId("ramp").hidden = !layer || layer.valued;
    byId("legend").replaceChildren();
    for (const id of ["relabel", "legend-empty", "legend-problem"]) byId(id).hidden = true;
    if (!layer?.valued) return;
    this.tell("");
    try {
      const answer = await server.legend(layer.id);
      if (this.layer === layer) this.fill(answer);
    } catch (problem) {
      if (this.layer === layer) this.tell(problem.message);
    }
  }

  fill(answer) {
    this.answer = answer;
    this.tell(answer.problem);
    byId("legend").replaceChildren(...answer.entries.map((entry) => this.row(entry)));
    byId("legend-empty").hidden = answer.entries.length > 0;
    byId("relabel").hidden = !answer.file;
    if (!answer.file) return;
    byId("relabel-text").textContent = `Names and colours are kept in ${answer.file}. This makes the map of them:`;
    byId("command").value = answer.command;
  }

  tell(sentence) {
    byId("legend-problem").textContent = sentence;
    byId("legend-problem").hidden = !sentence;
  }

  // The value of this map at the place that was asked for.
  get here() { return this.told?.[this.layer?.id]?.value ?? 0; }

  mark(told) {
    this.told = told;
    for (const row of byId("legend").children) row.classList.toggle("here", Number(row.dataset.value) === this.here);
    byId("legend").querySelector(".here")?.scrollIntoView({ block: "nearest" });
  }

  row(entry) {
    const share = entry.share < 0.0005 ? "< 0.1 %" : `${(100 * entry.share).toFixed(1)} %`;
    const parts = [
      swatch(entry.colour),
      make("span", { className: "name", textContent: entry.name, title: `value ${entry.value}` }),
      make("span", { className: "share", textContent: share, title: `${entry.pixels} pixels` }),
    ];
    if (this.layer.named) parts.push(this.button(entry));
    const row = make("li", {}, make("div", { className: "entry" }, ...parts));
    row.dataset.value = entry.value;
    row.classList.toggle("here", entry.value === this.here);
    if (entry.value === this.editing) row.append(this.form(entry));
    return row;
  }

  button(entry) {
    const button = make("button", { type: "button", textContent: "Rename" });
    button.setAttribute("aria-label", `Rename ${entry.name}, value ${entry.value}`);
    button.setAttribute("aria-expanded", String(entry.value === this.editing));
    button.addEventListener("click", () => this.edit(entry.value === this.editing ? 0 : entry.value));
    return button;
  }

  edit(value) {
    const before = this.editing;
    this.editing = value;
    this.fill(this.answer);
    const row = (wanted) => byId("legend").querySelector(`li[data-value="${wanted}"]`);
    if (value) row(value).querySelector("input[type=text]").select();
    else row(before)?.querySelector("button").focus();
  }

  form(entry) {
    const name = make("input", { type: "text", value: entry.name, required: true });
    const colour = make("input", { type: "color", value: entry.colour, title: "Colour" });
    name.setAttribute("aria-label", "Name");
    colour.setAttribute("aria-label", "Colour");
    const save = make("button", { type: "submit", textContent: "Save", className: "primary" });
    const cancel = make("button", { type: "button", textContent: "Cancel" });
    const form = make("form", {}, name, colour, make("div", {}, save, cancel));
    cancel.addEventListener("click", () => this.edit(0));
    form.addEventListener("keydown", (event) => { if (event.key === "Escape") this.edit(0); });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      // an untouched name or colour stays what it was: a text field would lose its line breaks
      const title = name.value === name.defaultValue || !name.dataset.touched ? entry.name : name.value;
      this.save(entry, title, colour.value !== entry.colour.toLowerCase() ? colour.value : null, save);
    });
    name.addEventListener("input", () => { name.dataset.touched = "yes"; });
    return form;
  }

  async save(entry, name, colour, button) {
    const { layer } = this;
    button.disabled = true;
    try {
      const answer = await server.rename({ layer: layer.id, value: entry.value, name, colour });
      if (this.layer !== layer) return;
      this.editing = entry.value;
      this.answer = answer;
      this.edit(0);
      this.changed(layer, answer);
    } catch (problem) {
      button.disabled = false;
      this.tell(problem.message);
    }
  }

  async copy() {
    const field = byId("command");
    field.select();
    try {
      await navigator.clipboard.writeText(field.value);
      byId("copy").textContent = "Copied";
    } catch {
      byId("copy").textContent = "Selected: press Ctrl-C";
    }
    setTimeout(() => { byId("copy").textContent = "Copy the command"; }, 2000);
  }
}

function paintRamp(colours) {
  const canvas = byId("ramp").querySelector("canvas"), context = canvas.getContext("2d");
  const shade = context.createLinearGradient(0, 0, canvas.width, 0);
  colours.forEach((colour, place) => shade.addColorStop(place / (colours.length - 1), colour));
  context.fillStyle = shade;
  context.fillRect(0, 0, canvas.width, canvas.height);
}
