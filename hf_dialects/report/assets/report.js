"use strict";
// What labels and clips are called comes from users' data: it is set as text, never as HTML.
{
  const ROWS = 25;
  const data = JSON.parse(document.getElementById("data").textContent);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const once = (make) => { let made; return () => made ??= make(); };
  const sounds = once(() => JSON.parse(document.getElementById("sound").textContent));

  // Confusion matrix: counts or shares; arrow keys walk through the cells, a cell shows its clips.
  for (const input of all("input[data-cells]"))
    input.addEventListener("change", () => { input.closest(".panel").querySelector(".confusion").dataset.show = input.value; });
  const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  for (const table of all(".confusion")) {
    const buttons = all("button", table);
    if (buttons.length) buttons[0].tabIndex = 0;
    const focus = (button) => {
      for (const one of buttons) one.tabIndex = one === button ? 0 : -1;
      button.focus();
    };
    table.addEventListener("keydown", (event) => {
      const step = steps[event.key], cell = event.target.closest("td");
      if (!step || !cell) return;
      event.preventDefault();
      let row = cell.parentElement.rowIndex, column = cell.cellIndex;
      for (;;) {
        [row, column] = [row + step[0], column + step[1]];
        const cells = table.rows[row]?.cells;
        if (!cells || column < 0 || column >= table.rows[0].cells.length) return;
        const button = cells[column]?.querySelector("button");
        if (button) return focus(button);
      }
    });
    table.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      focus(button);
      lists[button.closest(".panel").dataset.run].only(button.dataset.gold, button.dataset.answer);
    });
  }

  // Maps: colour by dialect, cluster or speaker; a button of the legend shows its clips alone.
  for (const maps of all("[data-maps]")) {
    const points = all(".scatter path", maps);
    let property = maps.querySelector("input[data-colour]:checked").value;
    const dim = () => {
      const chosen = new Set(all(`[data-legend="${property}"] [aria-pressed=true]`, maps).map((one) => one.dataset.number));
      for (const point of points) point.classList.toggle("away", chosen.size > 0 && !chosen.has(point.dataset[property]));
    };
    const paint = () => {
      for (const point of points) {
        const number = Number(point.dataset[property]);
        point.setAttribute("fill", data.colours[number % data.colours.length]);
        point.setAttribute("d", data.shapes[number % data.shapes.length]);
      }
      for (const legend of all("[data-legend]", maps)) legend.hidden = legend.dataset.legend !== property;
      dim();
    };
    for (const input of all("input[data-colour]", maps))
      input.addEventListener("change", () => { property = input.value; paint(); });
    for (const button of all(".legend button", maps))
      button.addEventListener("click", () => {
        button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") !== "true");
        dim();
      });
    const checked = maps.querySelector("input[data-colour]:checked");
    if (checked !== maps.querySelector("input[data-colour]")) paint(); // a reload keeps the choice
  }

  // Clips.
  const element = (name, text, attributes = {}) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const name = (text) => element("bdi", text);
  const number = (value) => (value === null ? "–" : value.toFixed(3));

  class List {
    constructor(root) {
      this.root = root;
      this.clips = data.runs[root.dataset.clips];
      this.page = 0;
      this.filters = Object.fromEntries(all("[data-filter]", root).map((one) => [one.dataset.filter, one]));
      this.views = all("input[type=radio]", root);
      for (const input of [...this.views, ...Object.values(this.filters)])
        input.addEventListener("input", () => { this.page = 0; this.show(); });
      for (const button of all("[data-step]", root))
        button.addEventListener("click", () => { this.page += Number(button.dataset.step); this.show(); });
      this.show();
    }

    only(gold, answer) {
      for (const view of this.views) view.checked = view.value === "all";
      Object.assign(this.filters.gold, { value: gold });
      Object.assign(this.filters.answer, { value: answer });
      this.filters.text.value = "";
      this.page = 0;
      this.show();
      const found = this.root.querySelector(".found");
      found.focus({ preventScroll: true });
      this.root.scrollIntoView({ block: "start" });
    }

    found() {
      const { clips } = this, view = this.views.find((one) => one.checked).value;
      const positions = view === "all" ? clips.id.map((_, position) => position) : clips[view];
      const gold = this.filters.gold.value, answer = this.filters.answer.value;
      const text = this.filters.text.value.trim().toLowerCase();
      return positions.filter((position) =>
        (gold === "" || clips.gold[position] === Number(gold)) &&
        (answer === "" || clips.answer[position] === Number(answer)) &&
        (text === "" || clips.id[position].toLowerCase().includes(text) || this.speaker(position).toLowerCase().includes(text)));
    }

    speaker(position) {
      return this.clips.speakers[this.clips.speaker[position]] ?? "";
    }

    show() {
      const found = this.found(), pages = Math.max(1, Math.ceil(found.length / ROWS));
      this.page = Math.min(Math.max(this.page, 0), pages - 1);
      const shown = found.slice(this.page * ROWS, (this.page + 1) * ROWS);
      this.root.querySelector("tbody").replaceChildren(...shown.map((position) => this.row(position)));
      this.root.querySelector(".found").textContent = `${found.length} of ${this.clips.id.length} clips`;
      const [back, on] = all("[data-step]", this.root);
      back.disabled = this.page === 0;
      on.disabled = this.page === pages - 1;
      this.root.querySelector(".pager span").textContent = `page ${this.page + 1} of ${pages}`;
    }

    row(position) {
      const { clips } = this, gold = clips.gold[position], answer = clips.answer[position];
      const clip = element("div");
      const facts = [this.speaker(position), clips.seconds[position] === null ? "" : `${clips.seconds[position].toFixed(1)} s`];
      clip.append(name(clips.id[position]), element("small", facts.filter(Boolean).join(", ")));
      const answered = element("div", undefined, gold >= 0 && gold !== answer ? { class: "wrong" } : {});
      answered.append(name(clips.labels[answer]), ` (${clips.confidence[position].toFixed(3)})`);
      const cells = {
        clip,
        spoken: gold < 0 ? "unknown" : name(clips.labels[gold]),
        answered,
        "p of the truth": number(clips.truth[position]),
        entropy: number(clips.entropy[position]),
        listen: this.player(position),
      };
      const row = element("tr");
      for (const [title, content] of Object.entries(cells)) {
        const cell = element("td", undefined, { "data-title": title });
        cell.append(content);
        row.append(cell);
      }
      return row;
    }

    player(position) {
      const source = sounds()[this.clips.sound[position]];
      if (!source) return "–";
      return element("audio", undefined, {
        controls: "", preload: "none", src: source, "aria-label": `listen to ${this.clips.id[position]}`,
      });
    }
  }
  const lists = all("[data-clips]").map((root) => new List(root));

  // One clip at a time.
  document.addEventListener("play", (event) => {
    for (const audio of all("audio")) if (audio !== event.target) audio.pause();
  }, true);
  addEventListener("beforeprint", () => { for (const one of all("details")) one.open = true; });
}
