// SPDX-License-Identifier: BSD-2-Clause
// Draws the matrix: row = source, column = destination. Geometry is computed
// once per size; drawing 1,000 x 1,000 cells is one pass over the canvas.
import { number } from "./format.js";
import { isQuiet } from "./mesh.js";

const NUMBERS_UP_TO = 20; // rows, columns; beyond it numbers do not fit
const MARKS_FROM = 6; // px; smaller cells carry bands, then colour only
const BANDS_FROM = 3;
const AXES = "from ↓  to →";
const LABEL_FROM = 9; // px per row, below it every k-th label

export function palette() {
	const css = getComputedStyle(document.documentElement);
	const of = (n) => css.getPropertyValue("--" + n).trim();
	return {
		ok: of("ok"), okInk: of("ok-ink"), warn: of("warn"), warnPale: of("warn-pale"),
		crit: of("crit"), critInk: of("crit-ink"), stale: of("stale"), hatch: of("hatch"),
		maint: of("maint"), maintPale: of("maint-pale"), ink: of("ink"), ink2: of("ink-2"), ink3: of("ink-3"),
		line: of("line"), line2: of("line-2"), paper: of("paper"), focus: of("focus"),
		ramp: [rgb(of("ramp-0")), rgb(of("ramp-1"))],
		sans: of("sans"), mono: of("mono"),
	};
}

function rgb(hex) {
	return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
}

function mix([a, b], t) {
	return a.map((v, i) => Math.round(v + (b[i] - v) * t));
}

function luminance(c) {
	const f = c.map((v) => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
	return .2126 * f[0] + .7152 * f[1] + .0722 * f[2];
}

// Rising lines, or (a negative step) falling ones.
function hatch(g, [x, y, w, h], colour, width, step) {
	g.save();
	g.beginPath();
	g.rect(x, y, w, h);
	g.clip();
	g.strokeStyle = colour;
	g.lineWidth = width;
	g.beginPath();
	for (let k = -h; k < w; k += Math.abs(step)) {
		g.moveTo(x + k, step > 0 ? y + h : y);
		g.lineTo(x + k + h, step > 0 ? y : y + h);
	}
	g.stroke();
	g.restore();
}

// Too small for marks: full in colour is critical, half of it a warning, a thin
// line maintenance.
function band(g, state, x, y, w, h, c) {
	g.fillStyle = state === "warn" ? c.warn : c.maint;
	if (state === "warn")
		g.fillRect(x, y + h / 2, w, h / 2);
	else if (state === "maintenance")
		g.fillRect(x, y + h * .35, w, h * .3);
}

// One cell's ground and mark, by state: also used by the legend.
export function drawState(g, state, x, y, w, h, c) {
	const marks = h >= MARKS_FROM;
	g.fillStyle = (h >= BANDS_FROM
		? { ok: c.ok, warn: c.warnPale, crit: c.crit, maintenance: c.maintPale, never: c.paper }
		: { ok: c.ok, warn: c.warn, crit: c.crit, maintenance: c.maint, never: c.paper })[state] ?? (marks ? c.stale : c.hatch);
	g.fillRect(x, y, w, h);
	if (!marks && h >= BANDS_FROM)
		band(g, state, x, y, w, h, c);
	if (state === "stale" && marks) {
		hatch(g, [x, y, w, h], c.hatch, Math.max(1, h / 26), Math.max(4, h / 6));
	} else if (state === "maintenance" && marks) {
		hatch(g, [x, y, w, h], c.maint, 1, -Math.max(5, h / 7)); // calm: thin and falling
	} else if (state === "never" && marks) {
		g.strokeStyle = c.hatch;
		g.lineWidth = 1;
		g.setLineDash([2, 2]);
		g.strokeRect(x + 1.5, y + 1.5, w - 3, h - 3);
		g.setLineDash([]);
	} else if (state === "crit" && marks) {
		corner(g, x, y, w, h, c.critInk);
	} else if (state === "warn" && marks) {
		frame(g, x, y, w, h, c.warn, Math.max(1.5, h * .04));
		corner(g, x, y, w, h, c.warn);
	}
}

function frame(g, x, y, w, h, colour, width) {
	g.strokeStyle = colour;
	g.lineWidth = width;
	g.strokeRect(x + width / 2, y + width / 2, w - width, h - width);
}

// A folded corner: the mark that survives without colour.
function corner(g, x, y, w, h, colour) {
	const k = Math.max(3, h * .26);
	g.fillStyle = colour;
	g.beginPath();
	g.moveTo(x + w - k, y);
	g.lineTo(x + w, y);
	g.lineTo(x + w, y + k);
	g.closePath();
	g.fill();
}

export class MatrixView {
	constructor(canvas) {
		this.canvas = canvas;
		this.mesh = null;
		this.metric = "state";
		this.cursor = null; // place under mouse or keyboard
		this.chosen = null;
		this.faded = false;
	}

	// Geometry from the room there is (CSS px).
	layout(width, height) {
		if (!this.mesh?.planned)
			return;
		const rows = this.mesh.rows.length, columns = this.mesh.columns.length, n = this.mesh.side;
		const g = this.canvas.getContext("2d");
		const c = palette();
		const small = width < 520;
		this.font = small ? 11 : width > 1500 ? 16 : 13;
		g.font = `${this.font}px ${c.sans}`;
		const widest = (list) => Math.max(...list.map((i) => g.measureText(this.mesh.nodes[i].name).width));
		const longest = widest(this.mesh.columns);
		this.left = Math.max(Math.min(widest(this.mesh.rows), small ? 84 : 180), g.measureText(AXES).width) + 14;
		// Names on the columns lie flat while they fit, else they stand.
		const flat = (width - this.left) / columns > longest + 6;
		this.flat = flat;
		this.top = flat ? this.font + 14 : Math.min(longest, 150) * .74 + this.font + 12;
		// Cells are wider than high where there is room: numbers lie flat.
		const least = n > 200 ? 2 : n > 60 ? 5 : 14;
		const high = Math.max(height - this.top, 220) / rows;
		const wide = (width - this.left - (flat ? 2 : longest * .34)) / columns;
		const whole = (v) => v >= 4 ? Math.floor(v) : v;
		this.ch = whole(Math.max(least, Math.min(84, high, small ? wide : wide * 1.1)));
		this.cw = whole(Math.max(least, Math.min(this.ch * 1.6, wide)));
		this.gap = this.ch >= 12 ? 2 : this.ch >= 5 ? 1 : 0;
		const extra = flat ? 2 : Math.ceil(longest * .7) + 4;
		this.width = Math.ceil(this.left + this.cw * columns + Math.min(extra, 110));
		if (this.width > width && this.left + this.cw * columns <= width)
			this.width = Math.floor(width);
		this.height = Math.ceil(this.top + this.ch * rows + 2);
		const ratio = Math.min(window.devicePixelRatio || 1,
			8192 / Math.max(this.width, this.height));
		this.ratio = ratio;
		this.canvas.width = Math.round(this.width * ratio);
		this.canvas.height = Math.round(this.height * ratio);
		this.canvas.style.width = `${this.width}px`;
		this.canvas.style.height = `${this.height}px`;
		// Where the cells are, for whoever drives the page from outside.
		const names = (list) => list.map((i) => this.mesh.nodes[i].name).join(" ");
		Object.assign(this.canvas.dataset, { left: this.left, top: this.top, cw: this.cw, ch: this.ch,
			rows: names(this.mesh.rows), columns: names(this.mesh.columns) });
	}

	// The place at CSS px relative to the canvas, or null.
	hit(x, y) {
		const { rows, columns } = this.mesh ?? { rows: [], columns: [] };
		const d = Math.floor((x - this.left) / this.cw);
		const s = Math.floor((y - this.top) / this.ch);
		return s >= 0 && d >= 0 && s < rows.length && d < columns.length ? [s, d] : null;
	}

	// The middle of a place, CSS px relative to the canvas.
	middle([s, d]) {
		return [this.left + (d + .5) * this.cw, this.top + (s + .5) * this.ch];
	}

	draw() {
		const { mesh } = this;
		if (!mesh?.planned || !this.ch)
			return;
		const g = this.canvas.getContext("2d");
		const c = palette();
		g.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
		g.clearRect(0, 0, this.width, this.height);
		this.drawCross(g, c);
		this.drawLabels(g, c);
		const range = this.metric === "state" ? null : mesh.range(this.metric);
		g.globalAlpha = this.faded ? .45 : 1;
		for (let s = 0; s < mesh.rows.length; s++) {
			for (let d = 0; d < mesh.columns.length; d++)
				this.drawCell(g, c, [s, d], range);
		}
		g.globalAlpha = 1;
		this.drawRing(g, this.chosen, c.ink, 3);
		this.drawRing(g, this.cursor, c.focus, 2);
	}

	drawCross(g, c) {
		if (!this.cursor || this.ch < MARKS_FROM)
			return;
		const [s, d] = this.cursor;
		const { rows, columns } = this.mesh;
		g.globalAlpha = .55; // blank places lie open to it
		g.fillStyle = c.line;
		g.fillRect(0, this.top + s * this.ch, this.left + columns.length * this.cw, this.ch);
		g.fillRect(this.left + d * this.cw, this.flat ? 0 : this.top - 6, this.cw,
			rows.length * this.ch + (this.flat ? this.top : 6));
		g.globalAlpha = 1;
	}

	drawLabels(g, c) {
		const { mesh, cw, ch, left, top, font } = this;
		const every = Math.max(1, Math.ceil(LABEL_FROM / Math.min(cw, ch)));
		const px = Math.min(font, Math.max(8, Math.min(cw, ch) * .95));
		g.textBaseline = "middle";
		// Whose state is another than its kind's usual one stands back.
		const pen = (k, i, node) => {
			const strong = this.cursor && this.cursor[k] === i;
			g.fillStyle = strong ? c.ink : node.state === "ok" || node.state === "target" ? c.ink2 : c.ink3;
			g.font = `${strong ? 600 : 400} ${px}px ${c.sans}`;
		};
		for (let i = 0; i < mesh.rows.length; i += every) {
			const node = mesh.from([i]);
			pen(0, i, node);
			g.textAlign = "right";
			g.fillText(fit(g, node.name, left - 12), left - 8, top + (i + .5) * ch);
		}
		for (let i = 0; i < mesh.columns.length; i += every) {
			const node = mesh.to([0, i]);
			pen(1, i, node);
			g.save();
			if (this.flat) {
				g.textAlign = "center";
				g.fillText(node.name, left + (i + .5) * cw, top - font * .8);
			} else {
				g.translate(left + (i + .5) * cw, top - 6);
				g.rotate(-Math.PI / 4);
				g.textAlign = "left";
				g.fillText(fit(g, node.name, 150), 0, 0);
			}
			g.restore();
		}
		if (top > 20) {
			g.fillStyle = c.ink3;
			g.font = `${Math.min(12, font)}px ${c.sans}`;
			g.textAlign = "right";
			g.fillText(AXES, left - 8, top - font * .8);
		}
	}

	drawCell(g, c, [s, d], range) {
		const { mesh, cw, ch, gap } = this;
		const x = this.left + d * cw + gap / 2, y = this.top + s * ch + gap / 2;
		const w = cw - gap, h = ch - gap;
		const i = mesh.cell([s, d]);
		if (i < 0) { // blank where the plan has none
			if (mesh.isSelf([s, d]) && h >= MARKS_FROM) {
				const k = h * .15;
				g.strokeStyle = c.line2;
				g.lineWidth = 1;
				g.beginPath();
				g.moveTo(x + w / 2 - k, y + h / 2 - k);
				g.lineTo(x + w / 2 + k, y + h / 2 + k);
				g.stroke();
			}
			return;
		}
		const state = mesh.state(i);
		let ink = { crit: c.critInk, warn: c.ink, ok: c.okInk }[state] ?? c.ink2;
		const v = mesh.value(i, this.metric);
		if (this.metric === "state" || typeof v !== "number" || isQuiet(state)) {
			drawState(g, state, x, y, w, h, c);
		} else {
			const t = range?.hi > range?.lo ? (v - range.lo) / (range.hi - range.lo) : 0;
			const colour = mix(c.ramp, Math.sqrt(Math.max(0, Math.min(1, t))));
			g.fillStyle = `rgb(${colour.join(",")})`;
			g.fillRect(x, y, w, h);
			ink = luminance(colour) > .22 ? "#10161a" : "#f5f8fa";
			if (state === "crit" || state === "warn") {
				frame(g, x, y, w, h, c[state], Math.max(2, h * .09));
				if (state === "crit" && h >= MARKS_FROM)
					corner(g, x, y, w, h, c.crit);
			}
		}
		if (mesh.side <= NUMBERS_UP_TO && w >= 22)
			this.drawNumber(g, c, i, state, [x, y, w, h], ink);
	}

	drawNumber(g, c, i, state, [x, y, w, h], ink) {
		const { mesh } = this;
		const [key, suffix] = this.metric !== "state" ? [this.metric, ""]
			: (state === "crit" || state === "warn") && mesh.value(i, "loss_max_pct") !== 0
				? ["loss_max_pct", "%"] : ["rtt_ms", ""];
		const v = mesh.value(i, key);
		if (typeof v !== "number")
			return;
		const text = number(v, 3) + suffix;
		let px = Math.min(h > 64 ? 20 : 17, h * .36);
		g.font = `${state === "crit" ? 700 : 400} ${px}px ${c.mono}`;
		const wide = g.measureText(text).width;
		if (wide > w - 4) {
			px *= (w - 4) / wide;
			if (px < 7)
				return;
			g.font = `${state === "crit" ? 700 : 400} ${px}px ${c.mono}`;
		}
		if (isQuiet(state)) { // readable over the hatch
			g.fillStyle = { maintenance: c.maintPale, never: c.paper }[state] ?? c.stale;
			const patch = Math.min(wide + 4, w);
			g.fillRect(x + (w - patch) / 2, y + h / 2 - px * .62, patch, px * 1.24);
		}
		g.fillStyle = ink;
		g.textAlign = "center";
		g.textBaseline = "middle";
		g.fillText(text, x + w / 2, y + h / 2 + px * .06);
	}

	drawRing(g, at, colour, width) {
		if (!at)
			return;
		const [s, d] = at;
		g.strokeStyle = colour;
		g.lineWidth = width;
		g.strokeRect(this.left + d * this.cw, this.top + s * this.ch, this.cw, this.ch);
	}
}

// The text, cut with an ellipsis to fit.
function fit(g, text, width) {
	if (g.measureText(text).width <= width)
		return text;
	let n = text.length;
	while (n > 1 && g.measureText(text.slice(0, n) + "…").width > width)
		n--;
	return text.slice(0, n) + "…";
}
