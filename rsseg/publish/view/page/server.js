// What the page asks of rsseg. An answer that is no success becomes an Error with rsseg's sentence.

const token = document.querySelector("meta[name=token]").content;

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, cache: "no-store" });
  } catch {
    throw new Error("rsseg does not answer; was it stopped? Start rsseg view again and reload the page.");
  }
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

export const contents = () => ask("api/contents");
export const legend = (layer) => ask(`api/legend/${layer}`);
export const pixel = (scene, row, col) => ask(`api/pixel/${scene}/${row}/${col}`);
export const rename = (change) => ask("api/rename", {
  method: "POST",
  headers: { "Content-Type": "application/json", "X-Rsseg-Token": token },
  body: JSON.stringify(change),
});
export const tile = (layer, level, row, col) =>
  `tiles/${layer.id}/${level}/${row}/${col}.png?v=${layer.version}`;
