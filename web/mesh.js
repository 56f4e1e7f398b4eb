// SPDX-License-Identifier: BSD-2-Clause
// The matrix document of the API as an object to ask: rows are the planned
// sources, columns the planned destinations, a place [row, column] is a cell, a
// pair outside the plan, or a node itself; ages that go on between two answers, the range of a metric.

// States that say nothing of the direction as it is now.
export function isQuiet(state) {
	return state === "stale" || state === "never" || state === "maintenance";
}

export class Mesh {
	constructor(doc, receivedAt) {
		this.doc = doc;
		this.receivedAt = receivedAt; // performance.now()
		this.serverAt = Date.parse(doc.at);
		this.nodes = doc.nodes ?? [];
		this.cells = doc.cells ?? { n: 0 };
		this.metrics = (doc.metrics ?? []).filter((m) => m && m.name);
		const n = this.nodes.length;
		this.index = new Int32Array(n * n).fill(-1);
		for (let i = 0; i < (this.cells.n ?? 0); i++) {
			const s = this.cells.src[i], d = this.cells.dst[i];
			if (s >= 0 && d >= 0 && s < n && d < n)
				this.index[s * n + d] = i;
		}
		const nodesOf = (list) => (list ?? []).filter((i) => this.nodes[i]);
		this.rows = nodesOf(doc.rows);
		this.columns = nodesOf(doc.columns);
		this.byName = new Map(this.nodes.map((x, i) => [x.name, i]));
	}

	get n() { return this.nodes.length; }

	// Is there a direction to show?
	get planned() { return this.rows.length > 0 && this.columns.length > 0; }

	// The longer side of the grid.
	get side() { return Math.max(this.rows.length, this.columns.length); }

	from([r]) { return this.nodes[this.rows[r]]; }

	to([, c]) { return this.nodes[this.columns[c]]; }

	isSelf([r, c]) { return this.rows[r] === this.columns[c]; }

	// Index of the cell at a place, or -1; and of the opposite direction.
	cell([r, c]) { return this.at(this.rows[r] ?? -1, this.columns[c] ?? -1); }

	back([r, c]) { return this.at(this.columns[c] ?? -1, this.rows[r] ?? -1); }

	// The place of a direction, or null when the grid has none.
	place(src, dst) {
		const r = this.rows.indexOf(this.byName.get(src)), c = this.columns.indexOf(this.byName.get(dst));
		return r >= 0 && c >= 0 ? [r, c] : null;
	}

	// How many places are outside the plan.
	get unplanned() {
		const selves = this.rows.filter((i) => this.columns.includes(i)).length;
		return this.rows.length * this.columns.length - selves - (this.cells.n ?? 0);
	}

	// The controller's clock now; ours may be wrong.
	now() { return this.serverAt + performance.now() - this.receivedAt; }

	// Index of the cell src -> dst, or -1 when the plan has no such pair.
	at(s, d) {
		return s >= 0 && d >= 0 && s < this.n && d < this.n
			? this.index[s * this.n + d] : -1;
	}

	value(i, key) {
		const column = this.cells[key];
		return i >= 0 && column ? column[i] ?? null : null;
	}

	state(i) { return this.value(i, "state") ?? "never"; }

	ageS(i) {
		const t = Date.parse(this.value(i, "measured_at") ?? "");
		return Number.isFinite(t) ? (this.now() - t) / 1000 : null;
	}

	metric(name) {
		return this.metrics.find((m) => m.name === name)
			?? { name: "state", label: "state", unit: "", decimals: 0 };
	}

	// Least and greatest value of a metric where it speaks of now, or null.
	range(key) {
		let lo = Infinity, hi = -Infinity;
		for (const [i, v] of (this.cells[key] ?? []).entries()) {
			if (typeof v !== "number" || isQuiet(this.state(i)))
				continue;
			lo = Math.min(lo, v);
			hi = Math.max(hi, v);
		}
		return lo <= hi ? { lo, hi } : null;
	}
}
