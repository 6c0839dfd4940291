"use strict";
// What clips and sites are called comes from users' data: it is set as text, never as HTML.
{
  const ROWS = 25, SIDES = ["query", "retrieved", "right"];
  const data = JSON.parse(document.getElementById("data").textContent);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const one = (selector, within = document) => within.querySelector(selector);
  let parsed;
  const sounds = () => (parsed ??= JSON.parse(document.getElementById("sound").textContent));
  const element = (name, text, attributes = {}) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const { clips, misses } = data;
  let page = 0, chosen = -1, found = [];

  const filters = Object.fromEntries(all("[data-filter]").map((input) => [input.dataset.filter, input]));
  for (const [side, column] of [["from", 0], ["to", 1]]) {
    const there = new Set(misses.map((miss) => clips.site[miss[column]]));
    data.sites.forEach((name, number) => {
      if (there.has(number)) filters[side].append(element("option", name, { value: number }));
    });
  }
  const words = (place) => `${clips.id[place]}\n${clips.sentence[place]}\n${clips.text[place] ?? ""}`.toLowerCase();
  function filter() {
    const from = filters.from.value, to = filters.to.value, text = filters.text.value.trim().toLowerCase();
    found = misses.map((_, number) => number).filter((number) => {
      const [query, retrieved, right] = misses[number];
      return (from === "" || clips.site[query] === Number(from)) && (to === "" || clips.site[retrieved] === Number(to)) &&
        (text === "" || [query, retrieved, right].some((place) => words(place).includes(text)));
    });
    page = 0;
    list();
  }

  function list() {
    const pages = Math.max(1, Math.ceil(found.length / ROWS));
    page = Math.min(Math.max(page, 0), pages - 1);
    one("#misses tbody").replaceChildren(...found.slice(page * ROWS, (page + 1) * ROWS).map(row));
    one(".count").textContent = `${found.length} of ${misses.length} misses`;
    const [back, on] = all("[data-step]");
    back.disabled = page === 0;
    on.disabled = page === pages - 1;
    one(".pager span").textContent = `page ${page + 1} of ${pages}`;
  }

  function row(number, index) {
    const [query, retrieved, right, wrongScore, rightScore, rank, of] = misses[number];
    const made = element("tr", undefined, { "data-number": number });
    const opener = element("button", String(page * ROWS + index + 1), { type: "button", class: "opener" });
    opener.setAttribute("aria-label", `miss ${page * ROWS + index + 1}: play query, retrieved and right utterance`);
    opener.addEventListener("click", () => { choose(number); playAll(); });
    const facts = ["", `SeqSim ${wrongScore.toFixed(3)}`, `SeqSim ${rightScore.toFixed(3)}, place ${rank} of ${of}`];
    const cells = [["miss", opener], ...[query, retrieved, right].map((place, side) => [SIDES[side], clip(place, SIDES[side], facts[side])])];
    for (const [title, content] of cells) {
      const cell = element("td", undefined, { "data-title": title, class: title });
      cell.append(content);
      made.append(cell);
    }
    mark(made, number === chosen);
    return made;
  }

  function clip(place, side, fact) {
    const made = element("div"), about = element("small");
    const seconds = clips.seconds[place] === null ? "" : `${clips.seconds[place].toFixed(1)} s`;
    about.append(element("bdi", data.sites[clips.site[place]]), `, ${[clips.sentence[place], seconds, fact].filter(Boolean).join(", ")}`);
    made.append(element("bdi", clips.id[place]), about);
    if (clips.text[place]) {
      const said = element("p", undefined, { class: "said" });
      said.append(element("bdi", String(clips.text[place])));
      made.append(said);
    }
    const source = sounds()[data.sound[place]];
    made.append(source
      ? element("audio", undefined, { controls: "", preload: "none", src: source, "data-side": side, "aria-label": `listen to the ${side} utterance, ${clips.id[place]}` })
      : element("small", "no sound"));
    return made;
  }

  function mark(made, own) {
    made.classList.toggle("current", own);
    made.ariaCurrent = own ? "true" : null;
  }
  const current = () => one("#misses tr.current");
  function choose(number) {
    chosen = number;
    for (const made of all("#misses tbody tr")) mark(made, Number(made.dataset.number) === number);
  }
  function follow(step) {
    const place = found.indexOf(chosen), next = place < 0 ? page * ROWS : place + step;
    if (next < 0 || next >= found.length) return;
    stop();
    if (Math.floor(next / ROWS) !== page) {
      page = Math.floor(next / ROWS);
      list();
    }
    choose(found[next]);
    one(".opener", current()).focus({ preventScroll: true });
    current().scrollIntoView({ block: "nearest" });
  }

  // One clip at a time; three of a miss one after the other.
  let queue = [], started = null;
  const stop = () => { queue = []; for (const audio of all("audio")) audio.pause(); };
  const start = (audio) => {
    started = audio;
    if (!audio) return;
    audio.currentTime = 0;
    audio.play().catch(() => {}); // stopped before it began
  };
  function playAll() {
    if (!current()) return;
    const audios = all("audio", current()), playing = audios.some((audio) => !audio.paused);
    stop();
    if (playing) return;
    queue = audios;
    start(queue.shift());
  }
  document.addEventListener("ended", () => start(queue.shift()), true);
  document.addEventListener("play", (event) => {
    if (event.target.paused) return; // stopped before its event came
    for (const audio of all("audio")) if (audio !== event.target) audio.pause();
    if (event.target !== started) queue = []; // the user has started another
    choose(Number(event.target.closest("tr").dataset.number));
  }, true);

  document.addEventListener("keydown", (event) => {
    const { target, key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || target.closest("input, select, audio, .scrolled")) return;
    if (key === "ArrowDown" || key === "ArrowUp") follow(key === "ArrowDown" ? 1 : -1);
    else if (chosen < 0 || !current()) return;
    else if ("123".includes(key)) { stop(); start(one(`audio[data-side=${SIDES[key - 1]}]`, current())); }
    else if (key === " " && (target.closest(".opener") || !target.closest("button, a"))) playAll();
    else return;
    event.preventDefault();
  });
  for (const input of Object.values(filters)) input.addEventListener("input", filter);
  for (const button of all("[data-step]")) button.addEventListener("click", () => { page += Number(button.dataset.step); list(); });
  filter();
}
