(() => {
  // Everything this page shows stands in its own script tags; nothing is fetched, and no text becomes markup.
  const json = (id) => JSON.parse(document.getElementById(id).textContent);
  const report = json("report");
  const top = document.getElementById("top");
  const main = document.getElementById("main");
  const SVG = "http://www.w3.org/2000/svg";

  const put = (node, attributes, children) => {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
    }
    node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
    return node;
  };
  const el = (tag, attributes, ...children) => put(document.createElement(tag), attributes, children);
  const filled = (tag, attributes, children) => (children.length ? el(tag, attributes, children) : null);
  const svg = (tag, attributes, ...children) => put(document.createElementNS(SVG, tag), attributes, children);

  const seconds = (us) => (us / 1e6).toFixed(6);
  const count = (n) => n.toLocaleString("en");
  const plural = (n, noun) => `${count(n)} ${noun}${n === 1 ? "" : "s"}`;
  const span = (us) => {
    if (us < 1000) return `${us} µs`;
    if (us < 1e6) return `${+(us / 1e3).toPrecision(3)} ms`;
    return us < 120e6 ? `${+(us / 1e6).toPrecision(3)} s` : `${+(us / 60e6).toPrecision(3)} min`;
  };
  const bytes = (n) => (n < 10000 ? `${count(n)} B` : n < 1e7 ? `${count(Math.round(n / 1e3))} kB` : `${count(Math.round(n / 1e6))} MB`);
  const ticks = (from, to, most) => {
    const rough = (to - from) / most || 1;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
    const list = [];
    for (let at = Math.ceil(from / step) * step; at <= to + step / 1e6; at += step) list.push(+at.toPrecision(12));
    return list;
  };
  const badge = (verdict) => el("span", { class: `verdict v-${verdict.replace(/ /g, "-")}` }, verdict);
  let quiet;
  const say = (text) => {
    const said = document.getElementById("said");
    said.textContent = text;
    said.classList.add("on");
    clearTimeout(quiet);
    quiet = setTimeout(() => said.classList.remove("on"), 1600);
  };
  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const field = el("textarea", {}, text);
      document.body.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
    }
    say("copied");
  };
  // All words must be there; a word behind a minus must not.
  const matcher = (query) => {
    const words = query.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = words.filter((word) => word[0] !== "-");
    const unwanted = words.filter((word) => word[0] === "-" && word.length > 1).map((word) => word.slice(1));
    return (text) => wanted.every((word) => text.includes(word)) && !unwanted.some((word) => text.includes(word));
  };
  const keys = (...pairs) => {
    const hints = pairs.flatMap(([key, what]) => [el("kbd", {}, key), ` ${what}   `]);
    document.getElementById("keys").replaceChildren(...hints);
  };

  // What is chosen in the tools survives the way to a scenario and back.
  const chosen = { query: "", verdicts: new Set(), order: "failures", group: "server" };
  let onKey = () => {};
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.key === "/" && !typing) {
      const field = document.querySelector("input[type=search]");
      if (field) { field.focus(); field.select(); event.preventDefault(); }
      return;
    }
    if (typing) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    onKey(event);
  });

  const shares = (counts) => {
    const bar = el("div", { class: "share", role: "img", "aria-label": counts.map(([word, n]) => `${n} ${word}`).join(", ") });
    for (const [word, n] of counts) if (n) bar.append(el("i", { class: `v-${word.replace(/ /g, "-")}`, style: `flex:${n}`, title: `${n} ${word}` }));
    return bar;
  };
  const countBy = (items, key) => {
    const counts = new Map();
    for (const item of items) counts.set(key(item), (counts.get(key(item)) || 0) + 1);
    return counts;
  };
  const WORST = ["fail", "miss", "nondeterministic", "invalid", "stop", "partial", "unreplayable", "deviation", "not applicable", "left", "pass"];
  const rank = (verdict) => WORST.indexOf(verdict);

  const tools = (counts, orders, show) => {
    const search = el("input", {
      type: "search", placeholder: "Filter: words; -word leaves out", "aria-label": "Filter", value: chosen.query,
      oninput: () => { chosen.query = search.value; show(); },
    });
    const chips = counts.filter(([, n]) => n).map(([word, n]) => {
      const chip = el("button", {
        type: "button", "aria-pressed": `${chosen.verdicts.has(word)}`, class: `chip v-${word.replace(/ /g, "-")}`, "data-verdict": word,
        onclick: () => {
          if (!chosen.verdicts.delete(word)) chosen.verdicts.add(word);
          chip.setAttribute("aria-pressed", chosen.verdicts.has(word));
          show();
        },
      }, el("i"), `${word} ${count(n)}`);
      return chip;
    });
    const [field, label, options] = orders;
    const order = el("select", { "aria-label": label, onchange: () => { chosen[field] = order.value; show(); } },
      options.map(([value, text]) => el("option", { value, selected: chosen[field] === value ? "" : null }, text)));
    return el("div", { class: "tools" }, search, chips, order);
  };

  for (const one of report.scenarios || []) one.hay = `${one.name} ${one.title} ${one.verdict} ${one.why || ""}`.toLowerCase();

  // ---- The index of a run.
  const runs = {
    totals: () => [el("span", {}, el("b", {}, count(report.checks)), " checks"), el("span", {}, el("b", {}, span(report.virtual_us)), " of virtual time")],
    columns: [["checks", (one) => count(one.checks)], ["virtual time", (one) => span(one.virtual_us)], ["took", (one) => span(one.wall_us)]],
  };
  const load = report.kind === "stress" ? {
    ...loads({ el, svg, ticks, span, count, bytes, plural }),
    totals: () => [el("span", {}, report.via === "core" ? "in virtual time" : `against the driver, ${report.dialer === "sockets" ? "with real sockets" : "with far sides in memory"}`)],
  } : null;
  const index = () => {
    const all = report.scenarios;
    const { totals, columns } = load || runs;
    const counts = WORST.map((word) => [word, all.filter((one) => one.verdict === word).length]);
    document.title = report.title;
    top.replaceChildren(
      el("div", { class: "title" }, el("h1", {}, report.title), el("span", { class: "faint mono" }, report.command)),
      el("div", { class: "totals" },
        el("span", {}, el("b", {}, count(all.length)), " scenarios"),
        counts.filter(([, n]) => n).map(([word, n]) => el("span", {}, el("b", {}, count(n)), ` ${word}`)),
        totals()),
      shares(counts));
    const list = el("div", { id: "list" });
    const line = (one) => el("tr", { "data-name": one.name },
      el("td", {}, badge(one.verdict)),
      el("td", { class: "name" }, el("a", { href: `#s/${encodeURIComponent(one.name)}` }, one.name),
        el("span", { class: "soft what" }, one.title), one.why ? el("span", { class: "why" }, one.why) : null),
      columns.map(([word, text]) => [word, text(one)]).map(([word, text]) => el("td", { class: "num", "data-word": word }, text)));
    const folder = (one) => one.name.split("/").slice(0, -1).join("/") || ".";
    const show = () => {
      const fits = matcher(chosen.query);
      const shown = all.filter((one) => (!chosen.verdicts.size || chosen.verdicts.has(one.verdict)) && fits(one.hay));
      let groups;
      if (chosen.order === "slowest") groups = [["Slowest first", [...shown].sort((a, b) => b.wall_us - a.wall_us)]];
      else if (chosen.order === "folder") {
        const by = new Map();
        for (const one of shown) by.set(folder(one), [...(by.get(folder(one)) || []), one]);
        groups = [...by].sort();
      } else {
        const good = (one) => rank(one.verdict) > rank("unreplayable");
        groups = [["To look at", shown.filter((one) => !good(one)).sort((a, b) => rank(a.verdict) - rank(b.verdict))], ["As expected", shown.filter(good)]];
      }
      const rows = groups.filter(([, items]) => items.length).flatMap(([name, items]) => [
        el("tr", { class: "group" }, el("td", { colspan: 2 + columns.length }, name, el("small", {}, plural(items.length, "scenario")))), ...items.map(line)]);
      const heads = [["", ""], ["scenario", ""], ...columns.map(([word]) => [word, "num"])];
      list.replaceChildren(rows.length
        ? el("table", {}, el("thead", {}, el("tr", {}, heads.map(([word, kind]) => el("th", { class: kind }, word)))), el("tbody", {}, rows))
        : el("p", { class: "soft" }, "Nothing fits the filter."));
    };
    main.replaceChildren(tools(counts, ["order", "Order", [["failures", "failures first"], ["slowest", "slowest first"], ["folder", "by folder"]]], show), list);
    show();
    keys(["/", "filter"], ["j k", "next, previous"], ["Enter", "open"]);
    onKey = (event) => {
      const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      const links = [...list.querySelectorAll("a")];
      const next = links[links.indexOf(document.activeElement) + step] || (step > 0 ? links[0] : null);
      if (next) { next.focus(); event.preventDefault(); }
    };
  };

  // ---- The ladder. A rung is [time, way, flow, again, number, text, [sequence, length, acknowledgement, window, flags], what is behind it].
  const FIN = 1, SYN = 2, RST = 4;
  const [FROM_DEVICE, TO_DEVICE, TO_FAR, FROM_FAR] = [0, 1, 2, 3];
  const kind = ([, way, , again, , , tcp]) => {
    if (way > TO_DEVICE) return "talk";
    if (!tcp) return "";
    if (tcp[4] & RST) return "reset";
    if (again) return "again";
    if (tcp[4] & (SYN | FIN)) return "edge";
    return tcp[1] ? "" : "ack";
  };
  const asLine = (data, [at, way, flow, , , text]) => {
    const mark = way === FROM_DEVICE ? "<" : ">";
    return way <= TO_DEVICE ? JSON.stringify(`${+(at / 1e6).toFixed(6)} ${mark} ${flow < 0 ? "ip" : data.flows[flow]} ${text}`) : text;
  };

  // Of one flow alone nothing needs its name.
  const short = (text, name) => text.replace(` of ${name}: `, ": ").replace(`${name}: `, "").replace(` ${name}`, "");

  const ladder = (data, only) => {
    const rungs = el("div", { class: "rungs", role: "listbox", tabindex: "0", "aria-label": "Events, time downwards" });
    const shown = [];
    const nodes = new Map();
    const many = only === undefined && data.flows.length > 1;
    const listeners = [];
    let selected = -1;
    const select = (row, scroll) => {
      const before = nodes.get(selected);
      if (before) { before.setAttribute("aria-selected", "false"); before.querySelectorAll(".copy, .behind").forEach((one) => one.remove()); }
      selected = row;
      const node = nodes.get(row);
      if (!node) return;
      node.setAttribute("aria-selected", "true");
      rungs.setAttribute("aria-activedescendant", node.id);
      if (data.rungs[row][7]) node.append(el("div", { class: "behind" }, data.rungs[row][7].replace(/\nline /g, "\n  line ")));
      node.append(el("button", { class: "copy", type: "button", tabindex: "-1", onclick: () => copy(asLine(data, data.rungs[row])) }, "copy line"));
      if (scroll) {
        const at = node.offsetTop - rungs.offsetTop;
        if (at < rungs.scrollTop + 40 || at > rungs.scrollTop + rungs.clientHeight - 70) rungs.scrollTop = at - rungs.clientHeight / 2;
      }
      for (const listener of listeners) listener(row);
    };
    const arrow = (way, ...content) => {
      const right = way === FROM_DEVICE || way === TO_FAR;
      return el("div", { class: `arrow ${right ? "to-right" : "to-left"}` }, ...content);
    };
    const found = data.divergence;
    let last = null;
    data.rungs.forEach((rung, row) => {
      const [at, way, flow, , , whole] = rung;
      const text = many || flow < 0 ? whole : short(whole, data.flows[flow]);
      if (only !== undefined && flow !== only && flow >= 0) return;
      if (last !== null && at - last >= 1e6) {
        rungs.append(el("div", { class: "gap", "aria-hidden": "true" }, el("span", { class: "t" }, "⋮"), el("div", { class: "lane" }, `${span(at - last)} later`), el("div", { class: "lane" })));
      }
      const here = found && found.rung === row;
      const name = many && flow >= 0 && way <= TO_DEVICE ? el("span", { class: "flow" }, data.flows[flow]) : null;
      const tag = here ? el("span", { class: "tag" }, "actual") : null;
      const drawn = way > FROM_FAR ? el("div", { class: "note" }, text) : arrow(way, name, tag, text);
      drawn.classList.add(kind(rung) || "data");
      const near = el("div", { class: "lane" }, way <= TO_DEVICE ? drawn : null);
      const far = el("div", { class: "lane" }, way > TO_DEVICE ? drawn : null);
      const delta = last !== null && at > last ? el("small", {}, `+${span(at - last)}`) : null;
      const node = el("div", { class: here ? "rung diverges" : "rung", role: "option", "aria-selected": "false", id: `r${row}`, title: rung[7], onclick: () => select(row) },
        el("div", { class: at === last ? "t same" : "t" }, seconds(at), delta), near, far);
      rungs.append(node);
      nodes.set(row, node);
      shown.push(row);
      if (here) {
        const packet = found.expected && !found.expected.includes("\n") && /^\S+ [<>] /.test(found.expected);
        const text = found.expected ? found.expected.replace(/^\S+ [<>] /, "").replace(`${data.flows[flow]} `, "") : "";
        if (packet) {
          rungs.append(el("div", { class: "ghost" }, el("span", {}), el("div", { class: "lane" }, arrow(TO_DEVICE, el("span", { class: "tag" }, "expected"), text)), el("div", { class: "lane" })));
        }
        rungs.append(el("div", { class: "ghost" }, el("span", {}), el("div", { class: "said" }, found.what, packet || !found.expected ? null : el("pre", {}, `expected ${found.expected}`))));
      }
      last = at;
    });
    if (data.cut) rungs.append(el("div", { class: "cut" }, data.cut));
    const step = (by) => {
      const next = shown[Math.max(0, Math.min(shown.length - 1, shown.indexOf(selected) + by))];
      if (next !== undefined) select(next, true);
    };
    const toDivergence = () => found && nodes.has(found.rung) && select(found.rung, true);
    const key = (event) => {
      const steps = { ArrowDown: 1, ArrowUp: -1, j: 1, k: -1, PageDown: 15, PageUp: -15, Home: -1e9, End: 1e9 };
      if (event.key in steps) step(steps[event.key]);
      else if (event.key === "c" && selected >= 0) copy(asLine(data, data.rungs[selected]));
      else if (event.key === "d") toDivergence();
      else return false;
      event.preventDefault();
      return true;
    };
    const lanes = el("div", { class: "lanes" }, el("span"), el("span", { class: "d" }, "device"), el("span", { class: "f" }, el("span", {}, "engine"), el("span", {}, "far side")));
    return { node: el("div", { class: "ladder" }, lanes, rungs), select, key, listeners, toDivergence, rungs };
  };

  // ---- Pictures: sequence numbers over time, of one flow in one direction.
  const picture = (data, flow, fromDevice, over, view) => {
    const [W, H, L, R, T, B] = [560, 210, 50, 8, 8, 20];
    const own = fromDevice ? FROM_DEVICE : TO_DEVICE;
    const rows = data.rungs.map((rung, row) => ({ rung, row })).filter(({ rung }) => rung[2] === flow && rung[6]);
    const sent = rows.filter(({ rung }) => rung[1] === own && rung[6][1]);
    const heard = rows.filter(({ rung }) => rung[1] !== own && rung[6][2] >= 0 && !(rung[6][4] & RST));
    if (!sent.length) return null;
    const order = new Map(rows.map(({ row }, index) => [row, index]));
    const place = ({ rung, row }) => (over === "packet" ? order.get(row) : rung[0]);
    const x0 = Math.min(...rows.map(place).slice(0, 1)), x1 = Math.max(place(rows[rows.length - 1]), x0 + 1);
    const high = sent.reduce((most, { rung }) => Math.max(most, rung[6][0] + rung[6][1]), 1);
    const edges = heard.map((one) => ({ ...one, ack: one.rung[6][2], edge: one.rung[6][2] + one.rung[6][3] }));
    // A window far beyond what was sent would press the rest to the floor.
    const top = Math.max(high * 1.08, Math.min(high * 1.6, edges.reduce((most, { edge }) => Math.max(most, edge), 0)));
    const x = (value) => L + ((value - x0) / (x1 - x0)) * (W - L - R);
    const y = (value) => H - B - (Math.min(value, top) / top) * (H - T - B);
    const box = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `Sequence numbers ${fromDevice ? "from the device" : "to the device"}` });
    for (const at of ticks(0, top, 4)) box.append(svg("line", { class: "axis", x1: L, x2: W - R, y1: y(at), y2: y(at) }), svg("text", { x: L - 5, y: y(at) + 3, "text-anchor": "end" }, at >= 1e4 ? `${at / 1e3}k` : `${at}`));
    for (const at of ticks(x0, x1, 5)) if (over === "time" || at % 1 === 0) box.append(svg("text", { x: x(at), y: H - 5, "text-anchor": x(at) > W - 30 ? "end" : "middle" }, over === "packet" ? `${at}` : span(Math.round(at))));
    const ends = edges.map((one, nth) => ({ from: place(one), to: nth + 1 < edges.length ? place(edges[nth + 1]) : x1 }));
    edges.forEach((one, nth) => {
      const opened = !(one.rung[6][4] & (SYN | FIN));
      if (one.rung[6][3] === 0 && opened) box.append(svg("rect", { class: "zero", x: x(ends[nth].from), y: T, width: Math.max(2, x(ends[nth].to) - x(ends[nth].from)), height: H - T - B }, svg("title", {}, "window of zero")));
    });
    const stairs = (value) => edges.map((one, nth) => `${nth ? "L" : "M"}${x(ends[nth].from).toFixed(1)} ${y(value(one)).toFixed(1)}H${x(ends[nth].to).toFixed(1)}`).join("");
    box.append(svg("path", { class: "edge-line", d: stairs((one) => one.edge) }), svg("path", { class: "acks", d: stairs((one) => one.ack) }));
    const cursor = svg("line", { class: "cursor", y1: T, y2: H - B, x1: -9, x2: -9 });
    box.append(cursor);
    const marks = new Map();
    for (const one of sent) {
      const [at, , , again, , text, tcp] = one.rung;
      const low = y(tcp[0]), far = Math.min(y(tcp[0] + tcp[1]), low - 3);
      const no = data.divergence && data.divergence.rung === one.row;
      const mark = svg("line", { class: `seg${again ? " re" : ""}${no ? " no" : ""}`, x1: x(place(one)), x2: x(place(one)), y1: low - (low - far > 4 ? 0.6 : 0), y2: far, "data-row": one.row }, svg("title", {}, `${seconds(at)} ${text}`));
      marks.set(one.row, mark);
      box.append(mark);
    }
    // A click anywhere takes the packet nearest to it.
    box.addEventListener("click", (event) => {
      const area = box.getBoundingClientRect();
      const [px, py] = [((event.clientX - area.left) / area.width) * W, ((event.clientY - area.top) / area.height) * H];
      const far = (one) => Math.hypot(x(place(one)) - px, (one.rung[1] === own ? y(one.rung[6][0] + one.rung[6][1] / 2) : y(one.rung[6][2])) - py);
      const nearest = [...sent, ...heard].reduce((best, one) => (far(one) < far(best) ? one : best));
      view.select(nearest.row, true);
    });
    view.listeners.push((row) => {
      for (const mark of box.querySelectorAll(".on")) mark.classList.remove("on");
      marks.get(row)?.classList.add("on");
      const one = rows.find((other) => other.row === row);
      const at = one ? x(place(one)) : -9;
      cursor.setAttribute("x1", at);
      cursor.setAttribute("x2", at);
    });
    const re = sent.filter(({ rung }) => rung[3]).length;
    return el("div", { class: "picture" },
      el("h3", {}, `${data.flows[flow]}: ${fromDevice ? "device to engine" : "engine to device"}`, el("small", {}, `${plural(sent.length, "segment")}${re ? `, ${re} sent again` : ""}`)), box);
  };
  const LEGEND = [["--ink", "segment"], ["--warn", "sent again"], ["--good", "acknowledged"], ["--life", "window's edge"], ["--zero", "window of zero"]];
  const pictures = (data, only, view) => {
    const area = el("div", { class: "pictures" });
    // Where half of all packets come in a moment, nothing of them could be seen over time.
    const times = data.rungs.filter((rung) => rung[6]).map((rung) => rung[0]);
    const [first, middle, last] = [times[0], times[times.length >> 1], times[times.length - 1]];
    let over = middle - first < (last - first) / 20 ? "packet" : "time";
    const draw = () => {
      view.listeners.length = 0;
      const flows = only === undefined ? data.flows.map((_, flow) => flow).slice(0, 12) : [only];
      area.replaceChildren(...flows.flatMap((flow) => [true, false].map((fromDevice) => picture(data, flow, fromDevice, over, view))).filter(Boolean));
    };
    draw();
    if (!area.childElementCount) return null;
    const scale = el("button", { type: "button", "aria-pressed": `${over === "packet"}`, onclick: () => {
      over = over === "time" ? "packet" : "time";
      scale.setAttribute("aria-pressed", over === "packet");
      draw();
    } }, "one step a packet");
    return el("section", {}, el("div", { class: "bar" }, el("h2", {}, "Sequence over time", el("small", {}, "a click selects the arrow")), el("span", { class: "grow" }),
      el("div", { class: "legend" }, LEGEND.map(([colour, word]) => el("span", {}, el("i", { style: `background:var(${colour})` }), word))), scale), area);
  };
  const drawn = (data, only) => {
    const view = ladder(data, only);
    const jump = data.divergence ? el("button", { type: "button", onclick: () => { view.toDivergence(); view.rungs.focus(); } }, "to the divergence") : null;
    const trace = data.trace ? el("a", { href: data.trace, class: "mono" }, data.trace_label) : null;
    const parts = [el("div", { class: "bar" }, el("h2", {}, "Ladder", el("small", {}, plural(view.rungs.querySelectorAll(".rung").length, "event"))), el("span", { class: "grow" }), trace, jump), view.node, pictures(data, only, view)];
    return { view, parts: parts.filter(Boolean) };
  };

  // ---- A scenario.
  const failure = (one) => el("div", { class: "card failure" },
    el("div", {}, el("span", { class: "kind" }, one.kind), `  ${one.what}`),
    filled("dl", {}, [["expected", one.expected, "want"], ["actual", one.actual, "got"], ["help", one.help, "plain"]]
      .filter(([, text]) => text).flatMap(([word, text, style]) => [el("dt", {}, word), el("dd", { class: style }, text)])),
    filled("div", { class: "faint place" }, [[one.at && `at ${one.at}`, one.flow && `flow ${one.flow}`, one.where].filter(Boolean).join("  ·  ")].filter(Boolean)));
  const source = (data) => {
    const wrong = new Map((data.marks || []).map(([line, column, what]) => [line, [column, what]]).reverse());
    const first = data.marks?.[0]?.[0];
    const lines = data.source.replace(/\n$/, "").split("\n").flatMap((text, nth) => {
      const mark = wrong.get(nth + 1);
      const line = el("span", { "data-n": nth + 1, class: mark ? (nth + 1 === first ? "wrong first" : "wrong") : null }, text);
      return mark ? [line, el("em", {}, `${" ".repeat(Math.max(0, mark[0] - 1))}^ ${mark[1]}`)] : [line];
    });
    return el("pre", { class: "source", tabindex: "0" }, lines);
  };
  const scenario = (name) => {
    const nth = report.scenarios.findIndex((one) => one.name === name);
    if (nth < 0) { location.hash = ""; return; }
    const one = report.scenarios[nth];
    const data = json(`s${nth}`);
    document.title = `${one.name} – ${report.title}`;
    const beside = (step) => report.scenarios[nth + step];
    const to = (other, word) => (other ? el("a", { href: `#s/${encodeURIComponent(other.name)}` }, word) : null);
    top.replaceChildren(
      el("nav", { class: "crumb" }, el("a", { href: "#" }, "← all scenarios"), to(beside(-1), "previous"), to(beside(1), "next")),
      el("div", { class: "title" }, el("h1", {}, one.name), badge(one.verdict)),
      one.title ? el("p", { class: "soft" }, one.title) : "",
      data.line ? el("p", { class: "faint" }, data.line) : "");
    const { view, parts } = load ? loaded(one, data) : played(data);
    main.replaceChildren(...parts);
    main.querySelector(".source .wrong.first")?.parentElement.scrollTo(0, main.querySelector(".source .wrong.first").offsetTop - main.querySelector(".source").offsetTop - 120);
    if (view?.rungs) { view.toDivergence(); view.rungs.focus({ preventScroll: true }); }
    scrollTo(0, 0);
    const shown = load ? [["← →", "points in time"]] : [["↑ ↓", "arrows"], ["c", "copy the line"], ["d", "divergence"]];
    keys(...shown, ["[ ]", "previous, next scenario"], ["Esc", "all scenarios"]);
    onKey = (event) => {
      const step = { "[": -1, "]": 1 }[event.key];
      if (event.key === "Escape") location.hash = "";
      else if (step && beside(step)) location.hash = `s/${encodeURIComponent(beside(step).name)}`;
      else if (view) view.key(event);
    };
  };
  const loaded = (one, data) => {
    const missed = [...data.outcome.missed, ...(data.steady ? [] : ["a second run gave another result"])];
    const view = load.pictures(data);
    return { view, parts: [
      ...missed.map((what) => failure({ kind: "missed", what })), view.node,
      el("h2", {}, "Figures"), load.figures(data.outcome, one.wall_us), el("h2", {}, "Scenario"), source(data)] };
  };
  const played = (data) => {
    const parts = [];
    for (const text of data.known || []) parts.push(el("p", { class: "soft" }, text));
    parts.push(...data.failures.slice(0, 1).map(failure));
    if (data.likely) parts.push(el("div", { class: "card likely" }, el("b", {}, "What most likely happened"), el("p", {}, data.likely.text), data.likely.proof.map((line) => el("div", { class: "mono soft" }, line))));
    if (data.failures.length > 1) parts.push(el("details", {}, el("summary", {}, `${plural(data.failures.length - 1, "failure")} after it`), data.failures.slice(1).map(failure)));
    let view = null;
    if (data.rungs) {
      const made = drawn(data);
      view = made.view;
      parts.push(...made.parts);
    } else parts.push(el("p", { class: "soft" }, "Its events were not kept: `--trace always` keeps those of every run."));
    const counters = Object.entries(data.counters || {});
    if (counters.length) parts.push(el("h2", {}, "Counters", el("small", {}, "those that are not zero")), el("div", { class: "counters" }, counters.map(([key, value]) => el("div", {}, el("span", { class: "mono" }, key), el("span", {}, count(value))))));
    if (data.notes.length) parts.push(el("h2", {}, "Notes"), ...data.notes.map((note) => el("p", { class: "soft" }, note)));
    if (data.source) parts.push(el("h2", {}, "Scenario", el("small", { class: "mono" }, data.path)), source(data));
    return { view, parts };
  };

  // ---- The flows of a capture.
  const HEIGHT = 24;
  const capture = () => {
    const all = report.flows.map(([protocol, client, server, verdict, why, start, end, packets, up, down, close, notes], nth) => ({
      nth, protocol, client, server, verdict, why, start, end, packets, up, down, close, notes,
      hay: `${protocol} ${client} ${server} ${verdict} ${why} #${nth + 1}`.toLowerCase(),
    }));
    const shared = document.getElementById("ladder") ? json("ladder") : null;
    const duration = Math.max(1, all.reduce((most, one) => Math.max(most, one.end), 0));
    const tally = countBy(all, (one) => one.verdict);
    const counts = WORST.map((word) => [word, tally.get(word) || 0]);
    document.title = report.title;
    top.replaceChildren(
      el("div", { class: "title" }, el("h1", {}, report.title), el("span", { class: "faint mono" }, report.command)),
      el("div", { class: "totals" }, el("span", {}, el("b", {}, count(all.length)), " flows"),
        counts.filter(([, n]) => n).map(([word, n]) => el("span", {}, el("b", {}, count(n)), ` ${word}`)),
        el("span", {}, el("b", {}, count(report.packets)), " packets"), el("span", {}, el("b", {}, span(duration)))),
      shares(counts));
    const steps = ticks(0, duration, 6).filter((at) => at < duration * 0.97);
    const spacer = el("div", { style: "position:relative" });
    const view = el("div", { class: "view", style: `--step:${(steps[1] / duration || 1) * 100}%`, tabindex: "0", role: "listbox", "aria-label": "Flows" }, spacer);
    const detail = el("div", { id: "detail" });
    const found = el("span", { class: "faint" });
    let items = [];
    let selected = -1;
    let detailView = null;
    const row = (item, at) => {
      const style = `top:${at * HEIGHT}px`;
      if (item.head !== undefined) return el("div", { class: "frow head", style }, el("span", {}, item.head, el("small", {}, item.tail)));
      const { flow } = item;
      const [left, width] = [(flow.start / duration) * 100, ((flow.end - flow.start) / duration) * 100];
      return el("div", { class: "frow", style, role: "option", id: `f${flow.nth}`, "aria-selected": flow.nth === selected, onclick: () => { location.hash = `f/${flow.nth + 1}`; } },
        el("span", { class: "faint num", style: "padding-right:10px" }, `${flow.nth + 1}`), badge(flow.verdict), el("span", { class: "ends", title: flow.why }, `${flow.protocol} ${flow.client} > ${flow.server}`),
        el("span", { class: `track v-${flow.verdict}` }, el("i", { style: `left:${Math.min(left, 99.7)}%;width:${Math.max(0, width)}%` })),
        el("span", { class: "size" }, `${bytes(flow.up)} ↑ ${bytes(flow.down)} ↓`));
    };
    const paint = () => {
      const from = Math.max(0, Math.floor(view.scrollTop / HEIGHT) - 8);
      const to = Math.min(items.length, from + Math.ceil(view.clientHeight / HEIGHT) + 16);
      spacer.replaceChildren(...items.slice(from, to).map((item, nth) => row(item, from + nth)));
    };
    view.addEventListener("scroll", paint, { passive: true });
    const show = () => {
      const fits = matcher(chosen.query);
      const shown = all.filter((one) => (!chosen.verdicts.size || chosen.verdicts.has(one.verdict)) && fits(one.hay));
      if (chosen.group === "none") items = shown.map((flow) => ({ flow }));
      else {
        const groups = new Map();
        for (const flow of shown) {
          const key = chosen.group === "verdict" ? flow.verdict : flow.server;
          if (!groups.has(key)) groups.set(key, []);
          groups.get(key).push(flow);
        }
        const worst = (flows) => flows.reduce((least, flow) => Math.min(least, rank(flow.verdict)), WORST.length);
        const sorted = [...groups].map(([head, flows]) => [head, flows, worst(flows)]).sort((a, b) => a[2] - b[2] || b[1].length - a[1].length);
        items = sorted.flatMap(([head, flows]) => {
          const by = countBy(flows, (flow) => flow.verdict);
          const tail = WORST.filter((word) => by.has(word)).map((word) => `${count(by.get(word))} ${word}`).join(", ");
          flows.sort((a, b) => rank(a.verdict) - rank(b.verdict) || a.start - b.start);
          return [{ head, tail }, ...flows.map((flow) => ({ flow }))];
        });
      }
      spacer.style.height = `${items.length * HEIGHT}px`;
      view.style.setProperty("--all", `${Math.max(2, items.length) * HEIGHT}px`);
      found.textContent = `${plural(shown.length, "flow")} shown`;
      view.scrollTop = 0;
      paint();
    };
    const open = (nth, scroll) => {
      selected = nth;
      const at = items.findIndex((item) => item.flow && item.flow.nth === nth);
      if (scroll && at >= 0 && (at * HEIGHT < view.scrollTop || (at + 2) * HEIGHT > view.scrollTop + view.clientHeight)) view.scrollTop = at * HEIGHT - view.clientHeight / 2;
      paint();
      view.setAttribute("aria-activedescendant", `f${nth}`);
      const flow = all[nth];
      if (!flow) { detail.replaceChildren(); return; }
      const facts = [["ends", `${flow.protocol} ${flow.client} > ${flow.server}`], ["reason", flow.why], ["time", `${seconds(flow.start)} to ${seconds(flow.end)}, ${span(flow.end - flow.start)}`],
        ["streams", `${count(flow.up)} bytes from the device, ${count(flow.down)} bytes to it, ${plural(flow.packets, "packet")} in the capture`], ["closed", flow.close], ...flow.notes.map((note) => ["note", note])];
      const parts = [el("h2", {}, `Flow ${nth + 1}  `, badge(flow.verdict)),
        el("div", { class: "card" }, el("dl", { class: "facts" }, facts.filter(([, text]) => text).flatMap(([word, text]) => [el("dt", {}, word), el("dd", {}, text)])))];
      const own = shared ? shared.flows.indexOf(`${flow.protocol} ${flow.client} > ${flow.server}`) : -1;
      detailView = null;
      if (own >= 0) {
        const made = drawn(shared, own);
        detailView = made.view;
        parts.push(...made.parts);
      } else if (flow.verdict === "unreplayable") parts.push(el("p", { class: "soft" }, "It was not replayed, so that it has no events."));
      else parts.push(el("p", { class: "soft" }, "Its events are not in this report: ", el("code", {}, `replay show ${report.capture} --flow ${nth + 1} --ladder`)));
      detail.replaceChildren(...parts);
    };
    const marks = el("span", { class: "ticks" }, steps.map((at) => el("span", { style: `left:${(at / duration) * 100}%` }, at ? span(at) : "0")));
    const bars = el("div", { class: "flows" }, el("div", { class: "axis-row" }, el("span"), el("span"), found, marks, el("span")), view);
    main.replaceChildren(tools(counts, ["group", "Group by", [["server", "by server"], ["verdict", "by verdict"], ["none", "in order of time"]]], show),
      report.notes.length ? el("details", {}, el("summary", {}, plural(report.notes.length, "note")), report.notes.map((note) => el("p", { class: "soft" }, note))) : "", bars, detail);
    show();
    keys(["/", "filter"], ["↑ ↓", "flows"], ["Esc", "close the flow"]);
    onKey = (event) => {
      if (detailView && detail.contains(document.activeElement) && detailView.key(event)) return;
      const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") location.hash = "";
      if (!step) return;
      const flows = items.filter((item) => item.flow);
      const next = flows[Math.max(0, flows.findIndex((item) => item.flow.nth === selected) + step)];
      if (next) location.hash = `f/${next.flow.nth + 1}`;
      event.preventDefault();
    };
    return (nth) => open(nth, true);
  };

  let openFlow = null;
  const route = () => {
    const [what, name] = [location.hash.slice(1, 2), decodeURIComponent(location.hash.slice(3))];
    if (report.kind === "try") {
      openFlow = openFlow || capture();
      openFlow(what === "f" ? Number(name) - 1 : -1);
    } else if (what === "s") scenario(name);
    else index();
  };
  addEventListener("hashchange", route);
  route();
  document.documentElement.dataset.ready = Math.round(performance.now());
})();
