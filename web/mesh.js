// SPDX-License-Identifier: BSD-2-Clause
// The matrix document of the API as an object to ask: cells by row and column,
// ages that go on between two answers, the range of a metric.

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
		this.byName = new Map(this.nodes.map((x, i) => [x.name, i]));
	}

	get n() { return this.nodes.length; }

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

	// Least and greatest value of a metric, or null.
	range(key) {
		let lo = Infinity, hi = -Infinity;
		for (const v of this.cells[key] ?? []) {
			if (typeof v !== "number")
				continue;
			lo = Math.min(lo, v);
			hi = Math.max(hi, v);
		}
		return lo <= hi ? { lo, hi } : null;
	}
}
