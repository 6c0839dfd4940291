// What was decided about labels: kept in the browser from visit to visit, and written as a table.
class Corrections {
  static COLUMNS = ["id", "gold", "corrected", "action", "note"];

  // data: of the page; earlier: corrections that the run was trained with, which stay in the table.
  constructor(data) {
    this.place = `hf-dialects datamap ${data.key}`;
    this.earlier = new Map(data.corrections.map((one) => [one.id, one]));
    this.label = new Map(data.id.map((id, position) => [id, data.labels[data.gold[position]]]));
    this.decisions = this.stored() ?? new Map(data.corrections.map((one) => [one.id, { ...one }]));
  }

  of(id) {
    return this.decisions.get(id);
  }

  // What it means for the label that the page shows: "undecided", "keep", "relabel" or "drop".
  state(id) {
    const found = this.of(id);
    if (!found || found.action === "drop") return found?.action ?? "undecided";
    return this.decided(id) === this.label.get(id) ? "keep" : "relabel";
  }

  // The label that was decided on.
  decided(id) {
    const { action, gold, corrected } = this.of(id);
    return action === "keep" ? gold : corrected;
  }

  // The label in the corpus: a run with corrections may have learnt another.
  gold(id) {
    return this.earlier.get(id)?.gold ?? this.label.get(id);
  }

  keep(id) {
    this.settle(id, this.label.get(id));
  }

  relabel(id, label) {
    this.settle(id, label);
  }

  drop(id) {
    this.set(id, "drop", "");
  }

  // Its right label is known: that of the corpus is kept, another replaces it.
  settle(id, label) {
    this.set(id, label === this.gold(id) ? "keep" : "relabel", label);
  }

  set(id, action, corrected) {
    this.decisions.set(id, { id, gold: this.gold(id), corrected, action, note: this.of(id)?.note ?? "" });
    this.store();
  }

  note(id, text) {
    const found = this.of(id);
    if (!found) return;
    found.note = text;
    this.store();
  }

  undo(id) {
    this.decisions.delete(id);
    this.store();
  }

  forget() {
    this.decisions = new Map(this.earlier);
    this.store();
  }

  counts() {
    const counts = { keep: 0, relabel: 0, drop: 0 };
    for (const { action } of this.decisions.values()) counts[action] += 1;
    return counts;
  }

  csv() {
    const quoted = (text) => (/[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    const rows = [...this.decisions.values()].sort((one, other) => (one.id < other.id ? -1 : 1));
    const lines = rows.map((row) => Corrections.COLUMNS.map((name) => quoted(row[name])).join(","));
    return [Corrections.COLUMNS.join(","), ...lines, ""].join("\r\n");
  }

  stored() {
    try {
      const text = localStorage.getItem(this.place);
      return text && new Map(JSON.parse(text).map((one) => [one.id, one]));
    } catch { return null; } // a browser may refuse storage to files
  }

  store() {
    try {
      localStorage.setItem(this.place, JSON.stringify([...this.decisions.values()]));
    } catch { this.refused = true; }
  }
}
