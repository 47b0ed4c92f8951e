"""How the page looks, on screen and on paper."""

STYLE = """
:root { --ink: #1b1f24; --soft: #4d5560; --line: #d5d9de; --link: #0b5394; --pale: #f4f6f8; }
* { box-sizing: border-box; }
html { font: 16px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; color: var(--ink);
  background: #fff;
  scroll-padding-top: 3.6rem; }
body { margin: 0; }
header, main, footer { max-width: 78rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 1.5rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.35rem; margin: 2.6rem 0 .6rem; padding-bottom: .25rem; border-bottom: 2px solid var(--ink); }
h3 { font-size: 1.1rem; margin: 1.6rem 0 .5rem; overflow-wrap: anywhere; }
h4, h5 { font-size: 1rem; margin: 1.3rem 0 .4rem; overflow-wrap: anywhere; }
p { margin: .4rem 0 .8rem; max-width: 46rem; overflow-wrap: anywhere; }
header p, footer p, .note, figcaption { color: var(--soft); }
footer { margin-top: 3rem; padding-bottom: 2rem; border-top: 1px solid var(--line); font-size: .9rem; }
a { color: var(--link); }
.skip { position: absolute; left: -100rem; }
.skip:focus { left: .5rem; top: .5rem; background: #fff; padding: .4rem .8rem; z-index: 10; }
:focus-visible { outline: 3px solid #d55e00; outline-offset: 2px; }
nav { position: sticky; top: 0; z-index: 5; background: var(--pale); border-block: 1px solid var(--line);
  margin-top: 1rem; }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: .1rem 1.2rem; max-width: 78rem; margin: 0 auto;
  padding: .45rem 1.25rem;
  font-size: .92rem; }
nav a { text-decoration: none; } nav a:hover { text-decoration: underline; }
dl { margin: .6rem 0; } dl div { display: flex; gap: 1rem; padding: .25rem 0; border-bottom: 1px solid var(--line); }
dt { flex: 0 0 11rem; color: var(--soft); overflow-wrap: anywhere; } dd { margin: 0; overflow-wrap: anywhere;
  min-width: 0; }

.wide { overflow-x: auto; margin: .8rem 0 1.2rem; max-width: 100%; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); padding-bottom: .3rem; overflow-wrap: anywhere; }
th, td { padding: .22rem .6rem; text-align: left; vertical-align: middle; border-bottom: 1px solid var(--line);
  max-width: 24rem;
  overflow-wrap: anywhere; }
thead th { border-bottom: 2px solid var(--soft); vertical-align: bottom; }
tbody th { font-weight: 600; }
td.n, th.n { text-align: right; } td.n { white-space: nowrap; }
code { font-size: .82em; overflow-wrap: anywhere; }
.files td, .settings td { max-width: 40rem; }
.heat td { text-align: right; border: 1px solid #fff; padding: .3rem .5rem; }
.heat td.framed { border: 2px solid #d55e00; }
.heat thead th { max-width: 9rem; }
.heat thead bdi { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 4; overflow: hidden; }
.swatch { display: inline-block; width: 1.05em; height: 1.05em; margin-right: .45em; vertical-align: -.15em;
  border: 1px solid #404040; }
.share { min-width: 9.5rem; white-space: nowrap; }
.amount { display: inline-block; width: 4.2em; text-align: right; margin-right: .5em; }
.bar { display: inline-block; height: .7em; border: 1px solid #404040; vertical-align: -.05em; }
.legend th { white-space: nowrap; } .legend th[scope=row] { text-align: right; }
.legend td:nth-child(2) { min-width: 11rem; }
.pieces td { min-width: 10rem; } .pieces .note { display: block; font-size: .85em; }

figure { margin: .6rem 0 1rem; }
figcaption { font-size: .88rem; max-width: 46rem; overflow-wrap: anywhere; }
img { max-width: 100%; height: auto; display: block; }
.pixels, .chips { image-rendering: pixelated; }
.frame { position: relative; display: inline-block; max-width: 100%; border: 1px solid var(--line); line-height: 0; }
.frame:has(.chart) { border: 0; }
.marks { position: absolute; inset: 0; pointer-events: none; line-height: 1.2; }
.marks span { position: absolute; transform: translate(-50%, -50%); font-size: .72rem; font-weight: 600; color: #000;
  background: rgba(255, 255, 255, .82); border-radius: .6em; padding: 0 .35em; }
.side { display: flex; flex-wrap: wrap; gap: 1rem; } .side figure { flex: 0 1 29rem; margin: 0; }
.match { max-width: 76rem; } .match img { width: 100%; max-width: 76rem; }
.thirds { display: grid; grid-template-columns: repeat(3, 1fr); gap: 1.2rem; max-width: none;
  margin-bottom: .3rem; color: var(--ink); }
.layer { display: flex; flex-wrap: wrap; gap: 0 1.6rem; align-items: flex-start; }
.layer .still { flex: 0 1 auto; min-width: 0; } .layer .wide { flex: 0 1 34rem; margin-top: .6rem; }
.scale { display: flex; align-items: center; gap: .6rem; font-size: .9rem; }
.ramp { display: inline-block; width: 9rem; height: .9rem; border: 1px solid #404040; }

.scripted { display: none; } .js .scripted { display: inline; }
.viewer fieldset { border: 1px solid var(--line); padding: .3rem .8rem .45rem; margin: 0 0 .6rem;
  display: flex; flex-wrap: wrap; gap: .1rem 1.2rem; }
.viewer legend { font-size: .85rem; color: var(--soft); padding: 0 .3rem; }
.viewer label { overflow-wrap: anywhere; }
.stage { position: relative; max-width: 100%; border: 1px solid var(--soft); overflow: hidden;
  touch-action: pan-y; cursor: ew-resize;
  background: #fff; user-select: none; }
.stage img { position: absolute; inset: 0; width: 100%; height: 100%; }
.over { position: absolute; inset: 0; }
.line { position: absolute; top: 0; bottom: 0; width: 3px; margin-left: -1.5px; background: #fff;
  outline: 1px solid #000; }
.line::after { content: ""; position: absolute; top: 50%; left: 50%; width: 1.5rem; height: 1.5rem;
  margin: -.75rem 0 0 -.75rem;
  border-radius: 50%; background: #fff; border: 2px solid #000; }
.controls { display: flex; flex-wrap: wrap; gap: .4rem 1.6rem; margin: .6rem 0; align-items: center;
  font-size: .92rem; }
.control { display: inline-flex; align-items: center; gap: .5rem; min-width: 0;
  } .control input[type=range] { width: 11rem; }
.control select { max-width: 16rem; font: inherit; }

@media screen {
  .js .swiped { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 30rem); gap: 0 1.6rem;
    align-items: start; }
  .js .swiped .still, .js .swiped .layer.off { display: none; }
  .js .swiped .layer .wide { margin-top: 0; flex: 1 1 30rem; }
}
@media screen and (max-width: 62rem) { .js .swiped { grid-template-columns: minmax(0, 1fr);
  } dt { flex-basis: 8rem; }
  nav { position: static; } html { scroll-padding-top: .5rem; } }
@media print {
  html { font-size: 10.5pt; } nav, .viewer, .skip, .scripted, .js .scripted { display: none !important; }
  header, main, footer { max-width: none; padding: 0; }
  h2, h3, h4, h5, caption { break-after: avoid; } figure, tr { break-inside: avoid; }
  .wide { overflow: visible; } .still img { max-height: 11cm; width: auto; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
