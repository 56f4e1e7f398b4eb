// SPDX-License-Identifier: BSD-2-Clause
// Draws the matrix: row = source, column = destination. Geometry is computed
// once per size; drawing 1,000 x 1,000 cells is one pass over the canvas.
import { number } from "./format.js";

const NUMBERS_UP_TO = 20; // nodes; beyond it numbers do not fit
const MARKS_FROM = 6; // px; smaller cells carry colour only
const LABEL_FROM = 9; // px per row, below it every k-th label

export function palette() {
	const css = getComputedStyle(document.documentElement);
	const of = (n) => css.getPropertyValue("--" + n).trim();
	return {
		ok: of("ok"), okInk: of("ok-ink"), warn: of("warn"), warnInk: of("warn-ink"),
		crit: of("crit"), critInk: of("crit-ink"), stale: of("stale"), hatch: of("hatch"),
		maint: of("maint"), ink: of("ink"), ink2: of("ink-2"), ink3: of("ink-3"),
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

function hatch(g, x, y, w, h, colour, step) {
	g.save();
	g.beginPath();
	g.rect(x, y, w, h);
	g.clip();
	g.strokeStyle = colour;
	g.lineWidth = Math.max(1, h / 26);
	g.beginPath();
	for (let k = -h; k < w; k += step) {
		g.moveTo(x + k, y + h);
		g.lineTo(x + k + h, y);
	}
	g.stroke();
	g.restore();
}

// One cell's ground and mark, by state: also used by the legend.
export function drawState(g, state, x, y, w, h, c) {
	const marks = h >= MARKS_FROM;
	g.fillStyle = { ok: c.ok, warn: c.warn, crit: c.crit, maintenance: c.maint, never: c.paper }[state] ?? c.stale;
	g.fillRect(x, y, w, h);
	if (state === "stale") {
		if (!marks) {
			g.fillStyle = c.hatch;
			g.fillRect(x, y, w, h);
		} else {
			hatch(g, x, y, w, h, c.hatch, Math.max(4, h / 6));
		}
	} else if (state === "never" && marks) {
		g.strokeStyle = c.hatch;
		g.lineWidth = 1;
		g.setLineDash([2, 2]);
		g.strokeRect(x + 1.5, y + 1.5, w - 3, h - 3);
		g.setLineDash([]);
	} else if (state === "crit" && marks) {
		corner(g, x, y, w, h, c.critInk);
	} else if (state === "warn" && marks) {
		corner(g, x, y, w, h, c.warnInk);
	}
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
		this.cursor = null; // [row, column] under mouse or keyboard
		this.chosen = null;
		this.faded = false;
	}

	// Geometry from the room there is (CSS px).
	layout(width, height) {
		const n = this.mesh?.n ?? 0;
		if (!n)
			return;
		const g = this.canvas.getContext("2d");
		const c = palette();
		const small = width < 520;
		this.font = small ? 11 : width > 1500 ? 16 : 13;
		g.font = `${this.font}px ${c.sans}`;
		const longest = Math.max(...this.mesh.nodes.map((x) => g.measureText(x.name).width));
		this.left = Math.min(longest, small ? 84 : 180) + 14;
		// Names on the columns lie flat while they fit, else they stand.
		const flat = (width - this.left) / n > longest + 6;
		this.flat = flat;
		this.top = flat ? this.font + 14 : Math.min(longest, 150) * .74 + this.font + 12;
		// Cells are wider than high where there is room: numbers lie flat.
		const least = n > 200 ? 2 : n > 60 ? 5 : 14;
		const high = Math.max(height - this.top, 220) / n;
		const wide = (width - this.left - (flat ? 2 : longest * .34)) / n;
		const whole = (v) => v >= 4 ? Math.floor(v) : v;
		this.ch = whole(Math.max(least, Math.min(84, high, small ? wide : wide * 1.1)));
		this.cw = whole(Math.max(least, Math.min(this.ch * 1.6, wide)));
		this.gap = this.ch >= 12 ? 2 : this.ch >= 5 ? 1 : 0;
		const extra = flat ? 2 : Math.ceil(longest * .7) + 4;
		this.width = Math.ceil(this.left + this.cw * n + Math.min(extra, 110));
		if (this.width > width && this.left + this.cw * n <= width)
			this.width = Math.floor(width);
		this.height = Math.ceil(this.top + this.ch * n + 2);
		const ratio = Math.min(window.devicePixelRatio || 1,
			8192 / Math.max(this.width, this.height));
		this.ratio = ratio;
		this.canvas.width = Math.round(this.width * ratio);
		this.canvas.height = Math.round(this.height * ratio);
		this.canvas.style.width = `${this.width}px`;
		this.canvas.style.height = `${this.height}px`;
		// Where the cells are, for whoever drives the page from outside.
		Object.assign(this.canvas.dataset, { left: this.left, top: this.top, cw: this.cw, ch: this.ch });
	}

	// [row, column] at a place in CSS px relative to the canvas, or null.
	hit(x, y) {
		const n = this.mesh?.n ?? 0;
		const d = Math.floor((x - this.left) / this.cw);
		const s = Math.floor((y - this.top) / this.ch);
		return s >= 0 && d >= 0 && s < n && d < n ? [s, d] : null;
	}

	// The middle of a cell, CSS px relative to the canvas.
	middle([s, d]) {
		return [this.left + (d + .5) * this.cw, this.top + (s + .5) * this.ch];
	}

	draw() {
		const { mesh } = this;
		if (!mesh?.n || !this.ch)
			return;
		const g = this.canvas.getContext("2d");
		const c = palette();
		g.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
		g.clearRect(0, 0, this.width, this.height);
		this.drawCross(g, c);
		this.drawLabels(g, c);
		const range = this.metric === "state" ? null : mesh.range(this.metric);
		g.globalAlpha = this.faded ? .45 : 1;
		for (let s = 0; s < mesh.n; s++) {
			for (let d = 0; d < mesh.n; d++)
				this.drawCell(g, c, s, d, range);
		}
		g.globalAlpha = 1;
		this.drawRing(g, this.chosen, c.ink, 3);
		this.drawRing(g, this.cursor, c.focus, 2);
	}

	drawCross(g, c) {
		if (!this.cursor || this.ch < MARKS_FROM)
			return;
		const [s, d] = this.cursor;
		const n = this.mesh.n;
		g.fillStyle = c.line;
		g.fillRect(0, this.top + s * this.ch, this.left + n * this.cw, this.ch);
		g.fillRect(this.left + d * this.cw, this.flat ? 0 : this.top - 6, this.cw,
			n * this.ch + (this.flat ? this.top : 6));
	}

	drawLabels(g, c) {
		const { mesh, cw, ch, left, top, font } = this;
		const every = Math.max(1, Math.ceil(LABEL_FROM / Math.min(cw, ch)));
		const px = Math.min(font, Math.max(8, Math.min(cw, ch) * .95));
		g.textBaseline = "middle";
		for (let i = 0; i < mesh.n; i += every) {
			const gone = mesh.nodes[i].state !== "ok";
			const strong = (k) => this.cursor && this.cursor[k] === i;
			const name = mesh.nodes[i].name;
			g.fillStyle = strong(0) ? c.ink : gone ? c.ink3 : c.ink2;
			g.font = `${strong(0) ? 600 : 400} ${px}px ${c.sans}`;
			g.textAlign = "right";
			g.fillText(fit(g, name, left - 12), left - 8, top + (i + .5) * ch);
			g.fillStyle = strong(1) ? c.ink : gone ? c.ink3 : c.ink2;
			g.font = `${strong(1) ? 600 : 400} ${px}px ${c.sans}`;
			g.save();
			if (this.flat) {
				g.textAlign = "center";
				g.fillText(name, left + (i + .5) * cw, top - font * .8);
			} else {
				g.translate(left + (i + .5) * cw, top - 6);
				g.rotate(-Math.PI / 4);
				g.textAlign = "left";
				g.fillText(fit(g, name, 150), 0, 0);
			}
			g.restore();
		}
		if (left > 60 && top > 20) {
			g.fillStyle = c.ink3;
			g.font = `${Math.min(12, font)}px ${c.sans}`;
			g.textAlign = "right";
			g.fillText("from ↓  to →", left - 8, top - font * .8);
		}
	}

	drawCell(g, c, s, d, range) {
		const { mesh, cw, ch, gap } = this;
		const x = this.left + d * cw + gap / 2, y = this.top + s * ch + gap / 2;
		const w = cw - gap, h = ch - gap;
		const i = mesh.at(s, d);
		if (i < 0) {
			if (s === d && h >= MARKS_FROM) {
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
		let ink = { crit: c.critInk, warn: c.warnInk, ok: c.okInk, maintenance: c.paper }[state] ?? c.ink2;
		const v = mesh.value(i, this.metric);
		if (this.metric === "state" || typeof v !== "number" || state === "stale" || state === "never") {
			drawState(g, state, x, y, w, h, c);
		} else {
			const t = range.hi > range.lo ? (v - range.lo) / (range.hi - range.lo) : 0;
			const colour = mix(c.ramp, Math.sqrt(Math.max(0, Math.min(1, t))));
			g.fillStyle = `rgb(${colour.join(",")})`;
			g.fillRect(x, y, w, h);
			ink = luminance(colour) > .22 ? "#10161a" : "#f5f8fa";
			if (state === "crit" || state === "warn") {
				const edge = Math.max(2, h * .09);
				g.strokeStyle = state === "crit" ? c.crit : c.warn;
				g.lineWidth = edge;
				g.strokeRect(x + edge / 2, y + edge / 2, w - edge, h - edge);
			}
		}
		if (mesh.n <= NUMBERS_UP_TO && w >= 22)
			this.drawNumber(g, c, i, state, [x, y, w, h], ink);
	}

	drawNumber(g, c, i, state, [x, y, w, h], ink) {
		const { mesh } = this;
		const [key, suffix] = this.metric !== "state" ? [this.metric, ""]
			: state === "crit" || state === "warn" ? ["loss_max_pct", "%"] : ["rtt_ms", ""];
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
		if (state === "stale" || state === "never") { // readable over the hatch
			g.fillStyle = c.stale;
			g.fillRect(x + w / 2 - wide / 2 - 2, y + h / 2 - px * .62, Math.min(wide, w - 4) + 4, px * 1.24);
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
