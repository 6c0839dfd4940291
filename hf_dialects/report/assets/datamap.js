// What labels and clips are called comes from users' data: it is set as text, never as HTML.
{
  const ROWS = 25, MISSING = 255, STEPS = 254;
  const data = JSON.parse(document.getElementById("data").textContent);
  const n = data.id.length;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const one = (selector, within = document) => within.querySelector(selector);
  let parsed;
  const sounds = () => (parsed ??= JSON.parse(document.getElementById("sound").textContent));
  const curves = Uint8Array.from(atob(data.curves), (letter) => letter.charCodeAt(0));
  const corrections = new Corrections(data);

  const element = (name, text, attributes = {}) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const drawing = (name, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const name = (text) => element("bdi", text);
  const label = (position) => data.labels[data.gold[position]];
  const speaker = (position) => data.speakers[data.speaker[position]] ?? "unknown";
  const suggestion = (position) => (data.suggested[position] < 0 ? null : data.labels[data.suggested[position]]);

  let chosen = -1, page = 0, found = [];
  const canvas = one(".plot canvas:last-of-type");
  const plot = new Plot(
    one(".plot"),
    { x: Float32Array.from(data.variability), y: Float32Array.from(data.confidence) },
    { x: "variability", y: "confidence" },
    { choose: (position) => choose(position), hover: (position) => { one(".hovered").textContent = told(position); } },
  );
  plot.borders = data.borders;

  const told = (position) => (position < 0 ? "" :
    `${data.id[position]}: ${label(position)}, ${data.regions[data.region[position]]}, confidence ${data.confidence[position].toFixed(2)}, variability ${data.variability[position].toFixed(2)}`);

  // Colours and their legend.
  const colour = () => one("input[name=colour]:checked").value;
  const states = Object.keys(Object.fromEntries(data.looks.decision));
  const marks = {
    region: () => data.region,
    dialect: () => data.gold,
    decision: () => data.id.map((id) => states.indexOf(corrections.state(id))),
  };
  function paint() {
    const numbers = marks[colour()](), looks = data.looks[colour()];
    plot.paint(numbers, looks);
    const counts = new Array(looks.length).fill(0);
    numbers.forEach((number, position) => { counts[number] += plot.shown[position]; });
    one(".legend").replaceChildren(...looks.map(([text, fill, path], number) => {
      const entry = element("li"), mark = drawing("svg", { viewBox: "-5 -5 10 10", class: "mark", "aria-hidden": "true" });
      mark.append(drawing("path", { d: path, fill }));
      entry.append(mark, " ", name(text), ` (${counts[number]})`);
      return entry;
    }));
  }

  // Filters act on the map and on the list.
  const filters = Object.fromEntries(all("[data-filter]").map((input) => [input.dataset.filter, input]));
  function fill(select, names) {
    select?.append(...names.map((text, number) => element("option", text, { value: number })));
  }
  fill(filters.dialect, data.labels);
  fill(filters.region, data.regions);
  fill(filters.speaker, data.speakers);
  function filter() {
    const chosenOf = (input) => (!input || input.value === "" ? null : Number(input.value));
    const gold = chosenOf(filters.dialect), region = chosenOf(filters.region), who = chosenOf(filters.speaker);
    const text = filters.text.value.trim().toLowerCase(), state = filters.decision.value;
    const shown = new Uint8Array(n);
    for (let position = 0; position < n; position++)
      shown[position] =
        (gold === null || data.gold[position] === gold) &&
        (region === null || data.region[position] === region) &&
        (who === null || data.speaker[position] === who) &&
        (state === "" || (state === "undecided") === (corrections.state(data.id[position]) === "undecided")) &&
        (text === "" || data.id[position].toLowerCase().includes(text));
    plot.show(shown);
    paint();
    list();
    const count = shown.reduce((sum, value) => sum + value, 0);
    for (const place of all(".count")) place.textContent = `${count} of ${n} clips`;
    canvas.setAttribute("aria-label", `Data map of ${count} clips; arrow keys go from clip to clip`);
  }

  // The chosen clip.
  function choose(position) {
    if (position < 0) return;
    const another = position !== chosen;
    chosen = position;
    plot.choose(position);
    one(".empty").hidden = true;
    one(".chosen").hidden = false;
    one(".chosen h3").replaceChildren(name(data.id[position]));
    const facts = {
      dialect: label(position), speaker: speaker(position), region: data.regions[data.region[position]],
      confidence: data.confidence[position].toFixed(3), variability: data.variability[position].toFixed(3),
      correctness: data.correctness[position].toFixed(3),
    };
    if (data.orders.confident_learning)
      facts["confident learning"] = `${data.doubt[position].toFixed(3)}${data.flagged[position] ? ", flagged" : ""}`;
    if (suggestion(position)) facts.suggested = suggestion(position);
    one(".chosen dl").replaceChildren(...Object.entries(facts).flatMap(([key, value]) => {
      const cell = element("dd");
      cell.append(name(value));
      return [element("dt", key), cell];
    }));
    if (another) {
      one(".chosen .sound").replaceChildren(player(position));
      one(".chosen .curve").replaceChildren(curve(position));
    }
    one(".chosen .decision").replaceChildren(controls(position));
    const note = one(".chosen input[type=text]");
    note.value = corrections.of(data.id[position])?.note ?? "";
    note.disabled = corrections.state(data.id[position]) === "undecided";
    for (const row of all("#suspects tbody tr")) {
      const own = Number(row.dataset.position) === position;
      row.classList.toggle("current", own);
      row.ariaCurrent = own ? "true" : null;
    }
  }

  function player(position) {
    const source = sounds()[data.sound[position]];
    if (!source) return element("p", "The sound of this clip is not in the page; --clips puts more of them into it.", { class: "explanation" });
    return element("audio", undefined, { controls: "", preload: "none", src: source, "aria-label": `listen to ${data.id[position]}` });
  }

  function curve(position) {
    const epochs = data.epochs.length, start = position * epochs;
    const x = (epoch) => 32 + (epochs > 1 ? epoch / (epochs - 1) : 0.5) * 256, y = (value) => 8 + (1 - value) * 84;
    const values = Array.from(curves.subarray(start, start + epochs), (byte) => (byte === MISSING ? null : byte / STEPS));
    const said = values.map((value, epoch) => (value === null ? null : `${data.epochs[epoch] + 1}: ${value.toFixed(2)}`)).filter(Boolean);
    const figure = drawing("svg", { viewBox: "0 0 300 122", class: "figure", role: "img", "aria-label": `Probability of the label by epoch, ${said.join("; ")}` });
    const text = (left, top, content, anchor) => {
      const made = drawing("text", { x: left, y: top, "text-anchor": anchor });
      made.textContent = content;
      figure.append(made);
    };
    for (const value of [0, 0.5, 1]) {
      figure.append(drawing("line", { x1: 32, x2: 288, y1: y(value), y2: y(value), class: "grid" }));
      text(27, y(value) + 4, value, "end");
    }
    text(x(0), 106, data.epochs[0] + 1, "middle");
    if (epochs > 1) text(x(epochs - 1), 106, data.epochs[epochs - 1] + 1, "middle");
    text(160, 118, "epoch", "middle");
    let path = "";
    values.forEach((value, epoch) => {
      if (value === null) return;
      path += `${epoch && values[epoch - 1] !== null ? "L" : "M"}${x(epoch).toFixed(1)} ${y(value).toFixed(1)}`;
      figure.append(drawing("circle", { cx: x(epoch), cy: y(value), r: epochs > 30 ? 1.2 : 2.2, class: "dot" }));
    });
    figure.append(drawing("path", { d: path, class: "line" }));
    return figure;
  }

  // Keep, drop, relabel, undo: the same controls beside the map and in the list.
  function controls(position) {
    const id = data.id[position], made = element("div", undefined, { class: "choices" }), state = corrections.state(id);
    const button = (text, key, does) => {
      const pressed = state === text;
      const one = element("button", text, { type: "button", "aria-pressed": pressed, "aria-keyshortcuts": key, title: `key ${key}` });
      one.addEventListener("click", () => decide(position, pressed ? () => corrections.undo(id) : does));
      return one;
    };
    const select = element("select", undefined, { "aria-label": `relabel ${id}`, "aria-keyshortcuts": "R", title: "key R" });
    const guess = suggestion(position);
    select.append(element("option", "relabel to …", { value: "" }));
    const others = data.labels.filter((text) => text !== label(position));
    if (guess) others.sort((a, b) => (b === guess) - (a === guess));
    select.append(...others.map((text) => element("option", text === guess ? `${text} (suggested)` : text, { value: text })));
    if (state === "relabel") {
      select.value = corrections.decided(id);
      select.classList.add("set");
    }
    select.addEventListener("change", () => decide(position, () => (select.value ? corrections.relabel(id, select.value) : corrections.undo(id))));
    made.append(button("keep", "K", () => corrections.keep(id)), select, button("drop", "D", () => corrections.drop(id)));
    return made;
  }

  // Carry out a decision, show it wherever the clip is shown, and give the focus back to the control that was used.
  function decide(position, does) {
    const before = document.activeElement, within = before.closest(".choices")?.parentElement;
    const control = within ? all("button, select", within).indexOf(before) : -1;
    does();
    choose(position);
    for (const row of all("#suspects tbody tr"))
      if (Number(row.dataset.position) === position) one(".decision", row).replaceChildren(controls(position));
    if (control >= 0) all("button, select", within)[control].focus();
    if (colour() === "decision") paint();
    summary();
  }

  function summary() {
    const { keep, relabel, drop } = corrections.counts(), total = keep + relabel + drop;
    one(".decided").textContent = `${total} decided: ${keep} keep, ${relabel} relabel, ${drop} drop.`;
    one(".refused").hidden = !corrections.refused;
    one("#download").disabled = total === 0;
    one("#forget").disabled = total === corrections.earlier.size && [...corrections.decisions.values()].every((row) => corrections.earlier.has(row.id));
  }

  // The list of suspects.
  const ranking = () => one("input[name=ranking]:checked").value;
  function list() {
    found = data.orders[ranking()].filter((position) => plot.shown[position]);
    const pages = Math.max(1, Math.ceil(found.length / ROWS));
    page = Math.min(Math.max(page, 0), pages - 1);
    one("#suspects tbody").replaceChildren(...found.slice(page * ROWS, (page + 1) * ROWS).map(row));
    const [back, on] = all("[data-step]");
    back.disabled = page === 0;
    on.disabled = page === pages - 1;
    one(".pager span").textContent = `page ${page + 1} of ${pages}`;
  }

  function row(position, number) {
    const made = element("tr", undefined, { "data-position": position });
    const clip = element("div"), opener = element("button", undefined, { type: "button", class: "opener" });
    opener.append(name(data.id[position]));
    opener.addEventListener("click", () => choose(position));
    clip.append(opener, element("small", data.speaker[position] < 0 ? "" : speaker(position)));
    const doubt = ranking() === "map" ? 1 - data.confidence[position] : data.doubt[position];
    const cells = {
      rank: String(page * ROWS + number + 1), clip, label: name(label(position)),
      suggested: suggestion(position) ? name(suggestion(position)) : "–",
      doubt: doubt.toFixed(3) + (ranking() !== "map" && data.flagged[position] ? " flagged" : ""),
      region: data.regions[data.region[position]], listen: data.sound[position] ? player(position) : "–", decision: controls(position),
    };
    for (const [title, content] of Object.entries(cells)) {
      const cell = element("td", undefined, { "data-title": title, class: title });
      cell.append(content);
      made.append(cell);
    }
    if (position === chosen) made.classList.add("current");
    return made;
  }

  // Go to the clip `step` places further down the list.
  function follow(step) {
    const place = found.indexOf(chosen), next = place < 0 ? page * ROWS : place + step;
    if (next < 0 || next >= found.length) return;
    if (Math.floor(next / ROWS) !== page) {
      page = Math.floor(next / ROWS);
      list();
    }
    choose(found[next]);
    one("#suspects tr.current .opener").focus();
  }

  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  document.addEventListener("keydown", (event) => {
    const { target, key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || target.closest("input, select, audio")) return;
    const does = {
      k: () => corrections.keep(data.id[chosen]), d: () => corrections.drop(data.id[chosen]), u: () => corrections.undo(data.id[chosen]),
    }[key.toLowerCase()];
    if (target === canvas && steps[key]) choose(plot.towards(...steps[key]));
    else if (target === canvas && { "+": 1, "=": 1, "-": 1, 0: 1 }[key]) zoom[{ "=": "+" }[key] ?? key]();
    else if (target.closest("#suspects tbody") && (key === "ArrowUp" || key === "ArrowDown")) follow(steps[key][1]);
    else if (chosen < 0) return;
    else if (does) decide(chosen, does);
    else if (key.toLowerCase() === "r") one(target.closest("#suspects tbody") ? "#suspects tr.current select" : ".chosen select")?.focus();
    else if (key === " " && !target.closest("button, summary, a")) play();
    else return;
    event.preventDefault();
  });
  function play() {
    const audio = one(".chosen audio");
    if (audio) audio.paused ? audio.play() : audio.pause();
  }

  const zoom = { "+": () => plot.zoom(0.7), "-": () => plot.zoom(1 / 0.7), 0: () => plot.reset() };
  for (const button of all("[data-zoom]")) button.addEventListener("click", () => zoom[button.dataset.zoom]());
  for (const input of Object.values(filters)) input.addEventListener("input", () => { page = 0; filter(); });
  for (const input of all("input[name=colour]")) input.addEventListener("change", paint);
  for (const input of all("input[name=ranking]")) input.addEventListener("change", () => { page = 0; list(); });
  for (const button of all("[data-step]")) button.addEventListener("click", () => { page += Number(button.dataset.step); list(); });
  one(".chosen input[type=text]").addEventListener("input", (event) => corrections.note(data.id[chosen], event.target.value));
  one("#download").addEventListener("click", () => {
    const link = element("a", undefined, { download: "corrections.csv" });
    link.href = URL.createObjectURL(new Blob([corrections.csv()], { type: "text/csv;charset=utf-8" }));
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  });
  one("#forget").addEventListener("click", () => {
    if (!confirm("Forget all decisions made on this page?")) return;
    corrections.forget();
    filter();
    summary();
    if (chosen >= 0) choose(chosen);
  });
  document.addEventListener("play", (event) => {
    for (const audio of all("audio")) if (audio !== event.target) audio.pause(); // one clip at a time
  }, true);
  filter();
  summary();
}
