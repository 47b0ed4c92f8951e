// The map: tiles of the visible layers on a canvas, in the scene's pixel coordinates (x = column, y = row).

import * as server from "./server.js";

const LOADING = 4;      // tiles asked for at once; a browser has six connections, and other questions need some
const KEPT = 600;       // tiles kept in memory
const CLICK = 4;        // screen pixels that a hand may tremble
const STEP = 80;        // screen pixels that an arrow key moves

export class TileMap {
  // on: {moved(), pointed(row, col), picked(row, col), failed(error)}
  constructor(element, canvas, tileSize, on) {
    Object.assign(this, { element, canvas, tileSize, on });
    this.context = canvas.getContext("2d");
    this.tiles = new Map();   // address -> {image, state}
    this.wanted = [];
    this.loading = 0;
    this.layers = [];         // from the bottom to the top
    this.scene = null;
    this.marked = null;
    this.zoom = 1;            // screen pixels (CSS) for a pixel of the scene
    this.x = this.y = 0;      // the centre of the screen
    this.listen();
    new ResizeObserver(() => this.draw()).observe(element);
  }

  get size() { return [this.element.clientWidth, this.element.clientHeight]; }

  show(scene, layers) {
    const fresh = this.scene !== scene;
    this.scene = scene;
    this.layers = layers;
    if (fresh) { this.marked = null; this.fit(); } else this.draw();
  }

  fit() {
    const [width, height] = this.size;
    this.x = this.scene.width / 2;
    this.y = this.scene.height / 2;
    this.zoom = Math.min(width / this.scene.width, height / this.scene.height) * 0.96;
    this.draw();
  }

  // Zoom about a place of the screen, which keeps what it shows.
  zoomBy(factor, left = this.size[0] / 2, top = this.size[1] / 2) {
    const [width, height] = this.size;
    const smallest = Math.min(width / this.scene.width, height / this.scene.height, 1) / 4;
    const zoom = Math.min(64, Math.max(smallest, this.zoom * factor));
    const [right, down] = [left - width / 2, top - height / 2];
    this.x += right / this.zoom - right / zoom;
    this.y += down / this.zoom - down / zoom;
    this.zoom = zoom;
    this.keepNear();
    this.draw();
  }

  move(right, down) {
    this.x += right / this.zoom;
    this.y += down / this.zoom;
    this.keepNear();
    this.draw();
  }

  keepNear() {
    this.x = Math.min(this.scene.width, Math.max(0, this.x));
    this.y = Math.min(this.scene.height, Math.max(0, this.y));
  }

  // The pixel (row, column) of the scene at a place of the screen, or null beside the scene.
  at(left, top) {
    const col = Math.floor(this.x + (left - this.size[0] / 2) / this.zoom);
    const row = Math.floor(this.y + (top - this.size[1] / 2) / this.zoom);
    const inside = row >= 0 && col >= 0 && row < this.scene.height && col < this.scene.width;
    return inside ? [row, col] : null;
  }

  mark(place) { this.marked = place; this.draw(); }

  // drawing

  draw() {
    if (this.pending || !this.scene) return;
    this.pending = true;
    requestAnimationFrame(() => { this.pending = false; this.paint(); });
  }

  paint() {
    const [width, height] = this.size, ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.unit = this.zoom * ratio;
    this.left = this.canvas.width / 2 - this.x * this.unit;
    this.top = this.canvas.height / 2 - this.y * this.unit;
    this.wanted = [];
    for (const layer of this.layers) if (layer.visible && layer.opacity > 0) this.paintLayer(layer);
    this.context.globalAlpha = 1;
    this.paintFrame();
    if (this.marked) this.paintMark(...this.marked);
    this.load();
    this.on.moved();
  }

  paintLayer(layer) {
    const { place } = layer, own = this.unit * place.across;  // device pixels for a pixel of the layer
    const level = Math.max(0, Math.min(layer.levels - 1, Math.round(Math.log2(1 / own))));
    const step = this.tileSize * 2 ** level;
    const x = (device) => ((device - this.left) / this.unit - place.col) / place.across / step;
    const y = (device) => ((device - this.top) / this.unit - place.row) / place.down / step;
    const last = (length) => Math.ceil(length / step) - 1;
    this.context.globalAlpha = layer.opacity;
    this.context.imageSmoothingEnabled = layer.kind === "scene" && own * 2 ** level < 1;
    for (let row = Math.max(0, Math.floor(y(0))); row <= Math.min(last(layer.height), y(this.canvas.height)); row++) {
      for (let col = Math.max(0, Math.floor(x(0))); col <= Math.min(last(layer.width), x(this.canvas.width)); col++) {
        this.paintTile(layer, level, row, col);
      }
    }
  }

  // A tile, or while it is on its way the part of a coarser one, or what was there before its colours changed.
  paintTile(layer, level, row, col) {
    const address = server.tile(layer, level, row, col), tile = this.tiles.get(address);
    if (!tile) this.want(layer, level, row, col, address);
    for (let up = 0; level + up < layer.levels; up++) {
      const found = this.tiles.get(server.tile(layer, level + up, row >> up, col >> up));
      const drawn = found?.image ? found : this.earlier(layer, level + up, row >> up, col >> up);
      if (!drawn) continue;
      this.keep(drawn);
      this.blit(layer, level, row, col, drawn.image, up);
      return;
    }
  }

  earlier(layer, level, row, col) {
    const tile = layer.before && this.tiles.get(server.tile({ ...layer, version: layer.before }, level, row, col));
    return tile?.image ? tile : null;
  }

  blit(layer, level, row, col, image, up) {
    const { place } = layer, size = this.tileSize, part = size / 2 ** up;
    const left = (col * size / 2 ** up) % size, top = (row * size / 2 ** up) % size;
    const wide = Math.min(part, image.width - left), tall = Math.min(part, image.height - top);
    if (wide <= 0 || tall <= 0) return;
    const scale = 2 ** (level + up);
    const x = (c) => Math.round(this.left + (place.col + c * place.across) * this.unit);
    const y = (r) => Math.round(this.top + (place.row + r * place.down) * this.unit);
    const firstCol = col * size * 2 ** level, firstRow = row * size * 2 ** level;
    const x0 = x(firstCol), x1 = x(Math.min(layer.width, firstCol + wide * scale));
    const y0 = y(firstRow), y1 = y(Math.min(layer.height, firstRow + tall * scale));
    this.context.drawImage(image, left, top, wide, tall, x0, y0, Math.max(1, x1 - x0), Math.max(1, y1 - y0));
  }

  paintFrame() {
    this.context.strokeStyle = "#7c8792";
    this.context.lineWidth = 1;
    this.context.strokeRect(
      Math.round(this.left) - 0.5, Math.round(this.top) - 0.5,
      Math.round(this.scene.width * this.unit) + 1, Math.round(this.scene.height * this.unit) + 1,
    );
  }

  paintMark(row, col) {
    const size = Math.max(this.unit, 9);
    const x = this.left + (col + 0.5) * this.unit - size / 2, y = this.top + (row + 0.5) * this.unit - size / 2;
    for (const [colour, width] of [["#fff", 5], ["#000", 2]]) {
      this.context.strokeStyle = colour;
      this.context.lineWidth = width;
      this.context.strokeRect(x, y, size, size);
    }
  }

  // loading: nearest to the centre first, and only what the last drawing wanted

  want(layer, level, row, col, address) {
    const step = this.tileSize * 2 ** level * layer.place.across;
    // a large scene without overviews takes its time; the maps need not wait for it
    const last = layer.kind === "scene" ? 1e9 : 0;
    const away = last + Math.hypot((col + 0.5) * step - this.x, (row + 0.5) * step - this.y);
    this.wanted.push({ address, away });
  }

  load() {
    this.wanted.sort((a, b) => a.away - b.away);
    while (this.loading < LOADING && this.wanted.length) {
      const { address } = this.wanted.shift();
      if (!this.tiles.has(address)) this.fetch(address);
    }
  }

  fetch(address) {
    const image = new Image(), tile = { address, image: null };
    this.tiles.set(address, tile);
    this.loading++;
    const done = () => { this.loading--; this.draw(); };
    image.onload = () => { tile.image = image; done(); };
    image.onerror = () => { this.on.failed(address); done(); };
    image.src = address;
    for (const [old] of this.tiles) {
      if (this.tiles.size <= KEPT) break;
      this.tiles.delete(old);
    }
  }

  keep(tile) {
    this.tiles.delete(tile.address);
    this.tiles.set(tile.address, tile);
  }

  // mouse, touch and keys

  listen() {
    const map = this.element, place = (event) => {
      const box = map.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    let held = null;
    map.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      map.setPointerCapture(event.pointerId);
      held = { from: place(event), last: place(event), moved: false };
    });
    map.addEventListener("pointermove", (event) => {
      const [left, top] = place(event);
      if (!this.scene) return;
      if (held) held.moved ||= Math.hypot(left - held.from[0], top - held.from[1]) > CLICK;
      if (held?.moved) {
        map.classList.add("dragging");
        this.move(held.last[0] - left, held.last[1] - top);
        held.last = [left, top];
      }
      this.on.pointed(this.at(left, top));
    });
    const release = (event, clicked) => {
      map.classList.remove("dragging");
      if (held && clicked && !held.moved) this.pick(...place(event));
      held = null;
    };
    map.addEventListener("pointerup", (event) => release(event, true));
    map.addEventListener("pointercancel", (event) => release(event, false));
    map.addEventListener("pointerleave", () => this.on.pointed(null));
    map.addEventListener("wheel", (event) => {
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 30 : 1;
      if (this.scene) this.zoomBy(2 ** (-event.deltaY * lines / 300), ...place(event));
    }, { passive: false });
    map.addEventListener("dblclick", (event) => this.zoomBy(2, ...place(event)));
    map.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || !this.scene) return;
    const far = event.shiftKey ? 4 : 1, step = STEP * far;
    const actions = {
      ArrowLeft: () => this.move(-step, 0), ArrowRight: () => this.move(step, 0),
      ArrowUp: () => this.move(0, -step), ArrowDown: () => this.move(0, step),
      "+": () => this.zoomBy(2), "=": () => this.zoomBy(2), "-": () => this.zoomBy(0.5),
      0: () => this.fit(), 1: () => this.zoomBy(1 / this.zoom),
      Enter: () => this.pick(this.size[0] / 2, this.size[1] / 2),
    };
    if (!Object.hasOwn(actions, event.key)) return;
    event.preventDefault();
    actions[event.key]();
  }

  pick(left, top) {
    const found = this.at(left, top);
    if (found) this.on.picked(...found);
  }
}
