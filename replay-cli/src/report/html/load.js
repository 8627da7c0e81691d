"use strict";
// The page of a load: its scenarios, and what each did over time. It gets what both pages share.
const loads = ({ el, svg, ticks, span, count, bytes, plural }) => {
  // A point is [time, bytes up, bytes down, datagrams, frames, [median, p99, longest] of the lag, heap, resident, virtual time].
  const rated = (points, field) => points.map((point, nth) => {
    const before = nth ? points[nth - 1] : [0, 0, 0, 0, 0];
    const took = point[0] - before[0];
    return took > 0 ? ((point[field] - before[field]) * 1e6) / took : 0;
  });
  const scaled = (value, unit) => {
    const [power, prefix] = [[1e9, "G"], [1e6, "M"], [1e3, "k"]].find(([power]) => value >= power) || [1, ""];
    return `${+(value / power).toPrecision(3)} ${prefix}${unit}`;
  };
  const bits = (value) => scaled(value * 8, "bit/s");
  const each = (value) => scaled(value, "/s");
  const size = (value) => scaled(value, "B");

  // Lines over the time of a run. A value holds from the point before to its own.
  const chart = (title, lines, { points, format, limit, what, log }, look) => {
    const [W, H, L, R, T, B] = [560, 190, 62, 8, 10, 20];
    const drawn = lines.filter(({ values }) => values.some((value) => value !== null));
    const most = Math.max(1, ...drawn.flatMap(({ values }) => values.map((value) => value || 0)));
    // A limit that is far off would press the lines to the floor.
    const near = limit && (log || limit < 3 * most);
    const top = Math.max(most, near ? limit : 0) * (log ? 2 : 1.08);
    const end = Math.max(1, points[points.length - 1][0]);
    const x = (at) => L + (at / end) * (W - L - R);
    const high = (value) => (log ? Math.log10(1 + value) / Math.log10(1 + top) : value / top);
    const y = (value) => H - B - high(value) * (H - T - B);
    const marks = log ? [0, ...Array.from({ length: Math.floor(Math.log10(top)) }, (_, nth) => 10 ** (nth + 1))] : ticks(0, top, 4);
    const box = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `${title} over time` });
    for (const at of marks) box.append(svg("line", { class: "axis", x1: L, x2: W - R, y1: y(at), y2: y(at) }), svg("text", { x: L - 6, y: y(at) + 3, "text-anchor": "end" }, at ? format(at) : "0"));
    for (const at of ticks(0, end, 5)) box.append(svg("text", { x: x(at), y: H - 5, "text-anchor": x(at) > W - 30 ? "end" : "middle" }, at ? span(Math.round(at)) : "0"));
    for (const { colour, values } of drawn) {
      let path = "";
      values.forEach((value, nth) => {
        if (value === null) return;
        const from = nth ? points[nth - 1][0] : 0;
        path += `${path && values[nth - 1] !== null ? "L" : "M"}${x(from).toFixed(1)} ${y(value).toFixed(1)}H${x(points[nth][0]).toFixed(1)}`;
      });
      box.append(svg("path", { class: "curve", d: path, style: `stroke:var(${colour})` }));
    }
    if (near) box.append(svg("line", { class: "limit", x1: L, x2: W - R, y1: y(limit), y2: y(limit) }), svg("text", { class: "limit-word", x: W - R - 2, y: y(limit) - 4, "text-anchor": "end" }, `limit ${format(limit)}`));
    const cursor = svg("line", { class: "cursor", y1: T, y2: H - B, x1: -9, x2: -9 });
    box.append(cursor);
    const told = drawn.map(({ name, colour, values }) => ({ values, node: el("b", {}), name, colour }));
    const show = (nth) => {
      const at = nth === null ? -9 : x(points[nth][0]);
      cursor.setAttribute("x1", at);
      cursor.setAttribute("x2", at);
      for (const { values, node } of told) {
        const value = nth === null ? Math.max(...values.map((value) => value || 0)) : values[nth];
        node.textContent = value === null ? "none" : `${nth === null ? "at most " : ""}${format(value)}`;
      }
    };
    look.push(show);
    const pick = (event) => {
      const area = box.getBoundingClientRect();
      const at = (((event.clientX - area.left) / area.width) * W - L) / (W - L - R) * end;
      look.at(points.reduce((best, point, nth) => (Math.abs(point[0] - at) < Math.abs(points[best][0] - at) ? nth : best), 0));
    };
    box.addEventListener("mousemove", pick);
    box.addEventListener("click", pick);
    box.addEventListener("mouseleave", () => look.at(null));
    const far = limit && !near ? el("small", {}, `limit ${format(limit)}`) : null;
    return el("div", { class: "picture" },
      el("h3", {}, title, what ? el("small", {}, what) : null, far),
      drawn.length ? el("div", { class: "legend" }, told.map(({ name, colour, node }) => el("span", {}, el("i", { style: `background:var(${colour})` }), `${name} `, node))) : null,
      drawn.length ? box : el("p", { class: "soft none" }, "In virtual time nothing comes late: ", el("code", {}, "--via driver"), " measures it."));
  };

  const pictures = (data) => {
    const { points, outcome } = data;
    const look = [];
    let chosen = null;
    look.at = (nth) => {
      chosen = nth;
      time.textContent = nth === null ? plural(points.length, "point") : `at ${span(points[nth][0])}`;
      for (const show of look) show(nth);
    };
    const time = el("small", {});
    const of = (field) => points.map((point) => point[field] ?? null);
    const lag = (nth) => points.map((point) => (point[5] ? point[5][nth] : null));
    const datagrams = points[points.length - 1][3] ? [{ name: "datagrams", colour: "--good", values: rated(points, 3) }] : [];
    const area = el("div", { class: "pictures" },
      chart("Throughput", [{ name: "from the device", colour: "--accent", values: rated(points, 1) }, { name: "to it", colour: "--good", values: rated(points, 2) }], { points, format: bits }, look),
      chart("Frames", [{ name: "frames", colour: "--accent", values: rated(points, 4) }, ...datagrams], { points, format: each }, look),
      chart("Lag", [{ name: "longest", colour: "--life", values: lag(2) }, { name: "p99", colour: "--warn", values: lag(1) }, { name: "median", colour: "--accent", values: lag(0) }],
        { points, format: (us) => span(Math.round(us)), limit: data.limits.lag_us, log: true, what: "how late turns came, tenfold a line" }, look),
      chart("Memory", [{ name: "heap", colour: "--accent", values: of(6) }, { name: "resident", colour: "--warn", values: of(7) }],
        { points, format: size, limit: (outcome.measures && data.limits.resident) ?? data.limits.heap, what: outcome.measures ? "heap of engine and driver; what the process grew by" : "heap of the engine" }, look));
    look.at(null);
    const step = (by) => look.at(Math.max(0, Math.min(points.length - 1, chosen === null ? (by > 0 ? 0 : points.length - 1) : chosen + by)));
    const key = (event) => {
      const steps = { ArrowRight: 1, ArrowLeft: -1, Home: -1e9, End: 1e9 };
      if (!(event.key in steps)) return false;
      step(steps[event.key]);
      event.preventDefault();
      return true;
    };
    return { key, node: el("section", {}, el("div", { class: "bar" }, el("h2", {}, "Over time", time)), area) };
  };

  // What a run came to, in words and numbers.
  const figures = (outcome, wall) => {
    const [sent, heard, back] = outcome.datagrams;
    const measures = outcome.measures;
    const late = ({ count: all, p50, p99, max }) => `p50 ${span(p50)}, p99 ${span(p99)}, at most ${span(max)}, of ${count(all)}`;
    const memory = measures && measures.resident;
    const facts = [
      ["flows", `${count(outcome.flows_served)} of ${count(outcome.flows_wanted)} carried every byte, ${count(outcome.open)} open at the end`],
      ["streams", `${bytes(outcome.octets_up)} from the device, ${bytes(outcome.octets_down)} to it`],
      ["datagrams", sent ? `${count(sent)} sent, ${count(heard)} reached a far side, ${count(back)} came back` : null],
      ["frames", `${count(outcome.frames_in)} in, ${count(outcome.frames_out)} out, ${count(outcome.drops)} dropped`],
      ["sent again", `${count(outcome.retransmissions[0])} by the device, ${count(outcome.retransmissions[1])} by the engine`],
      ["time", outcome.virtual_us === null ? `${span(Math.round(measures.seconds * 1e6))} from the first frame to the last byte` : `${span(outcome.virtual_us)} of virtual time in ${span(wall)}`],
      ["rate", measures && `${bits(measures.octets_up_per_second)} from the device, ${bits(measures.octets_down_per_second)} to it, frames at ${each(measures.frames_per_second)}`],
      ["a frame costs", measures && measures.nanoseconds_per_frame !== null ? `${count(Math.round(measures.nanoseconds_per_frame))} ns of the driver's thread` : null],
      ["turns took", measures && late(measures.turn_us)],
      ["lag", measures && late(measures.lag_us)],
      ["inbox wait", measures && late(measures.inbox_wait_us)],
      ["heap", outcome.peak_heap === null ? null : `at most ${size(outcome.peak_heap)}`],
      ["resident", memory && memory.peak_growth !== null ? `at most ${size(memory.peak_growth)} more than before` : null],
      ["an idle flow", memory && memory.per_idle_flow !== null ? `${size(memory.per_idle_flow)} resident${memory.per_used_flow === null ? "" : `, ${size(memory.per_used_flow)} after its bytes`}` : null],
    ];
    return el("div", { class: "card" }, el("dl", { class: "facts" }, facts.filter(([, text]) => text).flatMap(([word, text]) => [el("dt", {}, word), el("dd", {}, text)])));
  };

  const columns = [
    ["flows", (one) => count(one.flows)],
    ["frames", (one) => count(one.frames)],
    ["throughput", (one) => (one.up + one.down ? bits(((one.up + one.down) * 1e6) / Math.max(1, one.wall_us)) : "")],
    ["lag p99", (one) => (one.lag_us === null ? "" : span(one.lag_us))],
    ["memory", (one) => (one.memory === null ? "" : size(one.memory))],
    ["took", (one) => span(one.wall_us)],
  ];
  return { pictures, figures, columns };
};
