"""The one script of the page: the swipe between map and image. Without it all pictures stand below each other."""

SCRIPT = """
"use strict";
document.documentElement.classList.add("js");
for (const viewer of document.querySelectorAll(".viewer")) start(viewer);

function start(viewer) {
  const scene = viewer.parentElement, stage = viewer.querySelector(".stage");
  const under = document.getElementById(stage.dataset.under);
  const swipe = viewer.querySelector(".swipe"), opacity = viewer.querySelector(".opacity");
  const only = viewer.querySelector(".only"), numbers = viewer.querySelector(".numbers");
  const radios = [...viewer.querySelectorAll("input[type=radio]")];
  const layers = [...scene.querySelectorAll(".layer")];
  const base = picture(under), over = document.createElement("div"), line = document.createElement("div");
  const top = picture(under);
  over.className = "over";
  line.className = "line";
  over.append(top);
  stage.append(base, over, line);
  stage.style.aspectRatio = under.getAttribute("width") + " / " + under.getAttribute("height");
  stage.style.width = "min(" + under.getAttribute("width") + "px, 100%, calc(82vh * " +
    under.getAttribute("width") / under.getAttribute("height") + "))";
  let still = null;

  function choose() {
    const stem = radios.find(radio => radio.checked).value, layer = document.getElementById("layer-" + stem);
    for (const other of layers) other.classList.toggle("off", other !== layer);
    still = document.getElementById("image-" + stem);
    top.src = still.src;
    top.alt = still.alt;
    over.querySelector(".marks")?.remove();
    const marks = layer.querySelector(".marks");
    if (marks) over.append(marks.cloneNode(true));
    only.replaceChildren(new Option("all", ""));
    for (const cell of layer.querySelectorAll("[data-value]"))
      only.append(new Option(cell.dataset.value + " " + cell.textContent, cell.dataset.colour));
    only.disabled = only.length < 2;
    numbers.disabled = !marks;
    move();
  }

  function move() {
    over.style.clipPath = "inset(0 " + (100 - swipe.value) + "% 0 0)";
    over.style.opacity = opacity.value / 100;
    line.style.left = swipe.value + "%";
    line.style.display = swipe.value > 0 && swipe.value < 100 ? "" : "none";
    for (const slider of [swipe, opacity]) slider.setAttribute("aria-valuetext", slider.value + " %");
    const marks = over.querySelector(".marks");
    if (marks) marks.hidden = !numbers.checked || only.value !== "";
  }

  function filter() {
    top.src = only.value ? kept(still, only.value) : still.src;
    move();
  }

  function drag(event) {
    if (event.type === "pointermove" && event.buttons !== 1) return;
    const box = stage.getBoundingClientRect();
    swipe.value = Math.round(100 * (event.clientX - box.left) / box.width);
    move();
  }

  for (const radio of radios) radio.addEventListener("change", choose);
  for (const slider of [swipe, opacity]) slider.addEventListener("input", move);
  numbers.addEventListener("change", move);
  only.addEventListener("change", filter);
  stage.addEventListener("pointerdown", drag);
  stage.addEventListener("pointermove", drag);
  viewer.hidden = false;
  choose();
}

function picture(source) {
  const image = new Image();
  image.src = source.src;
  image.alt = source.alt;
  image.className = "pixels";
  image.draggable = false;
  return image;
}

/* The map with all colours but one taken out. */
function kept(source, colour) {
  const canvas = document.createElement("canvas");
  canvas.width = source.naturalWidth;
  canvas.height = source.naturalHeight;
  const context = canvas.getContext("2d");
  context.drawImage(source, 0, 0);
  const image = context.getImageData(0, 0, canvas.width, canvas.height), data = image.data;
  const wanted = [1, 3, 5].map(place => parseInt(colour.slice(place, place + 2), 16));
  for (let i = 0; i < data.length; i += 4)
    if (wanted.some((part, place) => data[i + place] !== part)) data[i + 3] = 0;
  context.putImageData(image, 0, 0);
  return canvas.toDataURL("image/png");
}
"""
