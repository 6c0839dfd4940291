"use strict";
// A scatter plot on two canvases: points on the lower one, rings around the hovered and the chosen one on the upper.
class Plot {
  static MARGIN = { left: 46, right: 12, top: 10, bottom: 40 };
  static SPRITE = 12; // side of a point's picture, in CSS pixels
  static REACH = 24; // how far from a point a click still means it
  static SMALLEST = 0.002; // shortest axis, as a part of the whole

  // points: x, y: Float32Array (N). handlers: choose(position), hover(position or -1).
  constructor(root, points, labels, handlers) {
    Object.assign(this, { root, points, labels, handlers, shown: new Uint8Array(points.x.length).fill(1) });
    [this.lower, this.upper] = root.querySelectorAll("canvas");
    this.marks = new Uint16Array(points.x.length);
    this.looks = [];
    this.borders = null;
    this.order = shuffled(points.x.length); // so that no dialect lies on top because of its name
    this.hovered = this.chosen = -1;
    this.pointers = new Map();
    const furthest = points.x.reduce((one, other) => Math.max(one, other), 0.05);
    this.whole = { left: -0.02 * furthest, right: 1.04 * furthest, bottom: -0.02, top: 1.03 };
    this.view = { ...this.whole };
    this.listen();
    this.resize();
    new ResizeObserver(() => this.resize()).observe(root);
  }

  // What the marks mean: number of the look of every point, and (name, colour, path) of every look.
  paint(marks, looks) {
    this.marks.set(marks);
    this.looks = looks;
    this.sprites = null;
    this.redraw();
  }

  show(shown) {
    this.shown = shown;
    this.redraw();
  }

  // Mark the chosen point, and bring it into view.
  choose(position) {
    this.chosen = position;
    const { view, points } = this;
    if (position < 0) return this.drawRings();
    const x = points.x[position], y = points.y[position];
    if (x < view.left || x > view.right || y < view.bottom || y > view.top)
      this.look(x - (view.right - view.left) / 2, y - (view.top - view.bottom) / 2, view.right - view.left, view.top - view.bottom);
    this.drawRings();
  }

  // Zoom around a place, in CSS pixels; a factor below 1 comes nearer.
  zoom(factor, place = this.middle()) {
    const { view } = this, x = this.xOf(place.x), y = this.yOf(place.y);
    this.look(x - (x - view.left) * factor, y - (y - view.bottom) * factor, (view.right - view.left) * factor, (view.top - view.bottom) * factor);
  }

  reset() {
    this.view = { ...this.whole };
    this.redraw();
  }

  // The nearest shown point, within reach; -1 for none.
  nearest(place, reach = Plot.REACH) {
    const { points, shown } = this, x = this.xOf(place.x), y = this.yOf(place.y);
    const across = this.across(1) - this.across(0), up = this.up(1) - this.up(0);
    let best = -1, least = reach * reach;
    for (let position = 0; position < shown.length; position++) {
      if (!shown[position]) continue;
      const dx = (points.x[position] - x) * across, dy = (points.y[position] - y) * up, distance = dx * dx + dy * dy;
      if (distance < least) [best, least] = [position, distance];
    }
    return best;
  }

  // The next shown point from the chosen one towards (right, down): near, and rather ahead than aside.
  towards(right, down) {
    const { points, shown, chosen } = this;
    if (chosen < 0) return this.nearest(this.middle(), Infinity);
    const across = this.across(1) - this.across(0), up = this.up(1) - this.up(0);
    let best = -1, least = Infinity;
    for (let position = 0; position < shown.length; position++) {
      if (!shown[position] || position === chosen) continue;
      const dx = (points.x[position] - points.x[chosen]) * across, dy = (points.y[position] - points.y[chosen]) * up;
      const ahead = dx * right + dy * down, aside = Math.abs(dx * down) + Math.abs(dy * right);
      const same = dx === 0 && dy === 0 && position > chosen; // equal points are walked through by number
      if (ahead <= 0 && !same) continue;
      const cost = same ? (position - chosen) * 1e-9 : ahead + 3 * aside;
      if (cost < least) [best, least] = [position, cost];
    }
    return best;
  }

  across(x) {
    const { left, right } = this.view;
    return this.area.left + (x - left) / (right - left) * this.area.width;
  }
  up(y) {
    const { bottom, top } = this.view;
    return this.area.top + (top - y) / (top - bottom) * this.area.height;
  }
  xOf(pixel) {
    return this.view.left + (pixel - this.area.left) / this.area.width * (this.view.right - this.view.left);
  }
  yOf(pixel) {
    return this.view.top - (pixel - this.area.top) / this.area.height * (this.view.top - this.view.bottom);
  }
  middle() {
    return { x: this.area.left + this.area.width / 2, y: this.area.top + this.area.height / 2 };
  }

  look(left, bottom, width, height) {
    const { whole } = this;
    const fit = (low, size, from, to) => {
      const all = to - from, span = Math.min(Math.max(size, Plot.SMALLEST * all), all);
      const start = Math.min(Math.max(low, from), to - span);
      return [start, start + span];
    };
    const [x0, x1] = fit(left, width, whole.left, whole.right), [y0, y1] = fit(bottom, height, whole.bottom, whole.top);
    this.view = { left: x0, right: x1, bottom: y0, top: y1 };
    this.redraw();
  }

  resize() {
    const width = this.root.clientWidth, height = Math.round(Math.min(560, Math.max(300, 0.72 * width)));
    const ratio = devicePixelRatio || 1;
    if (!width || (this.area && this.width === width && this.ratio === ratio)) return;
    const { left, right, top, bottom } = Plot.MARGIN;
    Object.assign(this, { width, height, ratio, sprites: null });
    this.area = { left, top, width: width - left - right, height: height - top - bottom };
    for (const canvas of [this.lower, this.upper]) {
      [canvas.width, canvas.height] = [width * ratio, height * ratio];
      canvas.style.height = `${height}px`;
    }
    this.root.style.height = `${height}px`;
    this.draw();
  }

  // Once per frame, however often it is asked for.
  redraw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.draw(); });
  }

  draw() {
    if (!this.area) return;
    const { points, shown, marks, ratio, area } = this, context = this.fresh(this.lower);
    this.drawAxes(context);
    context.save();
    context.beginPath();
    context.rect(area.left, area.top, area.width, area.height);
    context.clip();
    this.drawBorders(context);
    this.sprites ??= this.looks.map(([, colour, path]) => sprite(colour, path, ratio));
    context.setTransform(1, 0, 0, 1, 0, 0);
    const half = Plot.SPRITE * ratio / 2;
    const x0 = this.across(0) * ratio - half, dx = (this.across(1) - this.across(0)) * ratio;
    const y0 = this.up(0) * ratio - half, dy = (this.up(1) - this.up(0)) * ratio;
    const right = context.canvas.width, bottom = context.canvas.height;
    context.fillStyle = "#ddd";
    for (const pass of [0, 1])
      for (const position of this.order) {
        if (shown[position] !== pass) continue;
        const x = Math.round(x0 + points.x[position] * dx), y = Math.round(y0 + points.y[position] * dy);
        if (x < -2 * half || y < -2 * half || x > right || y > bottom) continue;
        if (!pass) context.fillRect(x + half - ratio, y + half - ratio, 2 * ratio, 2 * ratio);
        else if (this.sprites.length) context.drawImage(this.sprites[marks[position]], x, y);
      }
    context.restore();
    this.drawRings();
    if (this.sprites.length && !this.drawn) {
      this.drawn = true;
      performance.mark("data map drawn");
    }
  }

  drawRings() {
    const context = this.fresh(this.upper);
    for (const [position, colour, width] of [[this.hovered, "#666", 1.5], [this.chosen, "#000", 2.5]]) {
      if (position < 0) continue;
      const x = this.across(this.points.x[position]), y = this.up(this.points.y[position]);
      if (x < this.area.left - 1 || x > this.width || y < 0 || y > this.area.top + this.area.height + 1) continue;
      context.beginPath();
      context.arc(x, y, 7.5, 0, 2 * Math.PI);
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.stroke();
    }
  }

  drawAxes(context) {
    const { area, view, labels } = this, base = area.top + area.height;
    context.font = "11px system-ui, sans-serif";
    context.fillStyle = "#1c1c1c";
    context.strokeStyle = "#888";
    context.beginPath();
    context.moveTo(area.left, area.top);
    context.lineTo(area.left, base);
    context.lineTo(area.left + area.width, base);
    context.textAlign = "center";
    for (const [value, text] of ticks(Math.max(view.left, 0), view.right)) {
      const x = this.across(value);
      context.moveTo(x, base);
      context.lineTo(x, base + 4);
      context.fillText(text, x, base + 15);
    }
    context.textAlign = "right";
    for (const [value, text] of ticks(Math.max(view.bottom, 0), Math.min(view.top, 1))) {
      const y = this.up(value);
      context.moveTo(area.left - 4, y);
      context.lineTo(area.left, y);
      context.fillText(text, area.left - 7, y + 4);
    }
    context.stroke();
    context.textAlign = "center";
    context.fillStyle = "#555";
    context.fillText(labels.x, area.left + area.width / 2, this.height - 7);
    context.save();
    context.translate(11, area.top + area.height / 2);
    context.rotate(-Math.PI / 2);
    context.fillText(labels.y, 0, 0);
    context.restore();
  }

  drawBorders(context) {
    if (!this.borders) return;
    const { easy, hard } = this.borders;
    context.strokeStyle = "#bbb";
    context.setLineDash([4, 4]);
    context.beginPath();
    for (const [[y, x], end] of [[easy, this.whole.top], [hard, this.whole.bottom]]) {
      context.moveTo(this.across(this.whole.left), this.up(y));
      context.lineTo(this.across(x), this.up(y));
      context.lineTo(this.across(x), this.up(end));
    }
    context.stroke();
    context.setLineDash([]);
  }

  fresh(canvas) {
    const context = canvas.getContext("2d");
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    return context;
  }

  place(event) {
    const box = this.upper.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  listen() {
    const canvas = this.upper, { pointers } = this;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, { ...this.place(event), moved: pointers.size > 0 ? Infinity : 0 });
    });
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => {
      const pointer = pointers.get(event.pointerId);
      pointers.delete(event.pointerId);
      if (!pointer || pointer.moved > 5) return;
      const position = this.nearest(this.place(event));
      if (position >= 0) this.handlers.choose(position);
    });
    canvas.addEventListener("pointercancel", (event) => pointers.delete(event.pointerId));
    canvas.addEventListener("pointerleave", () => this.hover(-1));
    canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && document.activeElement !== canvas) return; // the page scrolls until the map is clicked
      event.preventDefault();
      this.zoom(Math.exp(Math.sign(event.deltaY) * Math.min(Math.abs(event.deltaY), 120) / 400), this.place(event));
    }, { passive: false });
  }

  // One pointer drags or hovers, two of them pinch.
  move(event) {
    const { pointers, view } = this, pointer = pointers.get(event.pointerId), now = this.place(event);
    if (!pointer) return this.hover(this.nearest(now));
    const others = [...pointers.values()].filter((one) => one !== pointer);
    const dx = now.x - pointer.x, dy = now.y - pointer.y;
    if (others.length) {
      const [other] = others, distance = (one) => Math.max(Math.hypot(one.x - other.x, one.y - other.y), 1);
      for (const one of pointers.values()) one.moved = Infinity;
      this.zoom(distance(pointer) / distance(now), { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 });
    } else if ((pointer.moved += Math.abs(dx) + Math.abs(dy)) > 5) {
      const width = view.right - view.left, height = view.top - view.bottom;
      this.look(view.left - dx / this.area.width * width, view.bottom + dy / this.area.height * height, width, height);
    }
    Object.assign(pointer, now);
  }

  hover(position) {
    if (position === this.hovered) return;
    this.hovered = position;
    this.drawRings();
    this.handlers.hover(position);
  }
}

// A point's picture, drawn once and copied.
function sprite(colour, path, ratio) {
  const canvas = document.createElement("canvas"), side = Plot.SPRITE * ratio;
  canvas.width = canvas.height = side;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  context.translate(Plot.SPRITE / 2, Plot.SPRITE / 2);
  const shape = new Path2D(path);
  context.globalAlpha = 0.8;
  context.fillStyle = colour;
  context.fill(shape);
  context.strokeStyle = "#fff";
  context.lineWidth = 0.4;
  context.stroke(shape);
  return canvas;
}

// 0 … n - 1 in an order that only looks like chance.
function shuffled(n) {
  const order = Uint32Array.from({ length: n }, (_, index) => index);
  let state = 12345;
  for (let last = n - 1; last > 0; last--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const other = state % (last + 1);
    [order[last], order[other]] = [order[other], order[last]];
  }
  return order;
}

// About five round numbers from low to high, with their texts.
function ticks(low, high) {
  const rough = (high - low) / 5, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= rough * (1 - 1e-9));
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9)), found = [];
  for (let count = Math.ceil(low / step - 1e-9); count * step <= high + 1e-9 * step; count++)
    found.push([count * step, (count * step).toFixed(digits)]);
  return found;
}
