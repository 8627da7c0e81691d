#!/usr/bin/env python3
"""The HTML reports in a real browser: they open, filter, select, show the divergence, and send nothing anywhere.

    check.py REPLAY FOLDER     REPLAY is the program, FOLDER gets reports and screenshots

Chromium is driven through chromedriver's plain HTTP (W3C WebDriver); nothing but Python's own library is needed.
"""

import base64
import json
import os
import pathlib
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent
FLOWS = 10_000
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--force-device-scale-factor=2", "--hide-scrollbars",
]


class Browser:
    """One Chromium behind one chromedriver."""

    def __init__(self, profile):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.driver = subprocess.Popen(
            ["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.base = f"http://127.0.0.1:{port}"
        for _ in range(200):
            try:
                if self.call("GET", "/status")["ready"]:
                    break
            except OSError:
                time.sleep(0.1)
        options = {
            "goog:chromeOptions": {"args": [*FLAGS, f"--user-data-dir={profile}"]},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        made = self.call("POST", "/session", {"capabilities": {"alwaysMatch": options}})
        self.base += f"/session/{made['sessionId']}"

    def call(self, method, path, body=None):
        data = None if body is None and method == "GET" else json.dumps(body or {}).encode()
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)["value"]

    def open(self, url):
        self.call("POST", "/url", {"url": url})

    def run(self, script, *arguments):
        return self.call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def command(self, name, **parameters):
        return self.call("POST", "/goog/cdp/execute", {"cmd": name, "params": parameters})

    def scheme(self, scheme):
        self.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def size(self, width, height):
        self.command("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2, mobile=False)

    def keys(self, text):
        actions = [{"type": kind, "value": key} for key in text for kind in ("keyDown", "keyUp")]
        self.call("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def log(self, kind):
        return self.call("POST", "/se/log", {"type": kind})

    def picture(self, path):
        path.write_bytes(base64.b64decode(self.call("GET", "/screenshot")))

    def end(self):
        try:
            self.call("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait()


def capture_of(flows, path):
    """A capture of many short UDP flows to a few servers; some have no answer, and some TCP flows among them no beginning."""
    out = bytearray(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101))

    def checksum(data):
        total = sum(struct.unpack(f">{len(data) // 2}H", data))
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        return struct.pack(">H", ~total & 0xFFFF)

    def packet(at, source, destination, payload, protocol=17):
        ends = socket.inet_aton(source[0]) + socket.inet_aton(destination[0])
        if protocol == 17:
            body, at_checksum = bytearray(struct.pack(">HHHH", source[1], destination[1], 8 + len(payload), 0) + payload), 6
        else:
            body, at_checksum = bytearray(struct.pack(">HHIIBBHHH", source[1], destination[1], 1000, 1000, 0x50, 0x18, 9000, 0, 0) + payload), 16
        pseudo = ends + struct.pack(">HH", protocol, len(body))
        body[at_checksum : at_checksum + 2] = checksum(pseudo + body + bytes(len(body) % 2))
        ip = bytearray(struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0x4000, 64, protocol, 0)) + ends
        ip[10:12] = checksum(ip)
        packet = bytes(ip + body)
        out.extend(struct.pack("<IIII", at // 1_000_000, at % 1_000_000, len(packet), len(packet)) + packet)

    packets = []
    for flow in range(flows):
        device = ("10.0.0.2", 10_000 + flow % 50_000)
        server = (f"192.0.2.{1 + flow % 40}", 4000)
        start = flow * 1_000
        if flow % 97 == 5:
            packets.append((start, device, (server[0], 443), b"data", 6))
            continue
        packets.append((start, device, server, b"ping"))
        if flow % 9:
            packets.append((start + 20_000 + flow % 500_000, server, device, b"pong" * (1 + flow % 7)))
    for each in sorted(packets, key=lambda each: each[0]):
        packet(*each)
    path.write_bytes(out)


def main():
    replay, folder = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
    # Paths stand in the pictures: as short as they can be.
    near = lambda path: os.path.relpath(path, ROOT)
    folder.mkdir(parents=True, exist_ok=True)
    failed = []

    def check(what, holds, seen=""):
        print(f"{'ok    ' if holds else 'FAILED'}  {what}{'' if holds else f': {seen}'}", flush=True)
        if not holds:
            failed.append(what)

    def replays(*arguments, expected):
        done = subprocess.run([replay, *arguments], cwd=ROOT, capture_output=True, text=True)
        check(f"replay {arguments[0]} ends with {expected}", done.returncode == expected, done.stderr or done.stdout)

    run = folder / "run"
    replays(
        "run", "expectations/tcp", "expectations/http", near(HERE / "expectations"), "--trace", "always",
        "--trace-dir", near(folder / "traces"), "--html", near(run), expected=1,
    )  # fmt: skip
    capture = folder / "flows.pcap"
    capture_of(FLOWS, capture)
    replays("try", "--no-adopt", near(capture), "--html", near(folder / "try"), expected=0)
    replays("stress", "--via", "driver", near(HERE / "load"), "--html", near(folder / "load"), expected=1)
    page = run / "index.html"
    size = page.stat().st_size
    check("a run's page is small", size < 1_000_000, size)

    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(profile)
        try:
            browser.size(1240, 820)
            # The browser's own start page is not ours.
            browser.open("about:blank")
            browser.log("performance")
            run_page(browser, page, folder, check)
            try_page(browser, folder / "try" / "index.html", folder, check)
            load_page(browser, folder / "load" / "index.html", folder, check)
            quiet(browser, check)
        finally:
            browser.end()
    print(f"screenshots: {folder}")
    return 1 if failed else 0


def run_page(browser, page, folder, check):
    address = page.as_uri()
    browser.open(address)
    check("the index opens", browser.run("return document.querySelectorAll('#list a').length") > 30)
    check("a title cannot break out", browser.run("return document.title") == "Scenarios", browser.run("return document.title"))
    first = browser.run("return document.querySelector('#list tr[data-name] .verdict').textContent")
    check("failures come first", first == "fail", first)
    browser.picture(folder / "index.png")

    filtered = """
        const field = document.querySelector('input[type=search]');
        field.value = arguments[0]; field.dispatchEvent(new Event('input'));
        return [...document.querySelectorAll('#list tr[data-name]')].map(row => row.dataset.name);"""
    names = browser.run(filtered, "tcp -reset refused")
    check("the filter takes words", names == ["tcp/refused"], names)
    browser.run(filtered, "")
    browser.run("document.querySelector('[data-verdict=fail]').click()")
    names = browser.run("return [...document.querySelectorAll('#list tr[data-name]')].map(row => row.dataset.name)")
    check("a verdict is chosen", len(names) == 2 and all(name.startswith("download/") for name in names), names)
    browser.run("document.querySelector('[data-verdict=fail]').click()")
    for order, head in [("slowest", "Slowest first"), ("folder", "download")]:
        text = browser.run("""
            const order = document.querySelector('select');
            order.value = arguments[0]; order.dispatchEvent(new Event('change'));
            return document.querySelector('tr.group').textContent;""", order)  # fmt: skip
        check(f"the order is {order}", text.startswith(head), text)
    browser.keys("j\ue007")
    check("a scenario opens by keyboard", browser.run("return location.hash").startswith("#s/"), browser.run("return location.hash"))

    name = urllib.parse.quote("download/window_opens_again", safe="")
    browser.open(f"{address}#s/{name}")
    seen = browser.run("""
        const view = document.querySelector('.rungs').getBoundingClientRect();
        const found = document.querySelector('.diverges').getBoundingClientRect();
        return {
            inside: found.top >= view.top && found.bottom <= view.bottom,
            actual: document.querySelector('.diverges').textContent,
            expected: document.querySelector('.ghost .arrow').textContent,
            likely: document.querySelector('.likely')?.textContent,
            pictures: document.querySelectorAll('.picture svg').length,
            zero: document.querySelectorAll('.picture .zero').length,
            again: document.querySelectorAll('.picture .re').length,
            wrong: document.querySelectorAll('.source .wrong').length,
            counters: document.querySelectorAll('.counters div').length,
            trace: document.querySelector('a[href$=".pcapng"]')?.getAttribute('href'),
            wide: document.documentElement.scrollWidth <= innerWidth,
        };""")  # fmt: skip
    check("the divergence is scrolled to", seen["inside"], seen)
    check("actual and expected stand there", "14001:14002(1)" in seen["actual"] and "14001:15001(1000)" in seen["expected"], seen)
    check("what most likely happened is said", "window" in (seen["likely"] or ""), seen)
    check("each direction has its picture", seen["pictures"] == 2, seen)
    check("a window of zero and what was sent again are drawn", seen["zero"] >= 1 and seen["again"] >= 1, seen)
    check("failing lines are marked in the source", seen["wrong"] >= 1, seen)
    check("counters are there", seen["counters"] > 5, seen)
    check("the trace is there", seen["trace"] and (page.parent / seen["trace"]).resolve().is_file(), seen)
    check("nothing is wider than the page", seen["wide"], seen)
    tall(browser, folder / "scenario.png")
    browser.run("document.querySelector('.ladder').scrollIntoView({block: 'center'})")
    browser.picture(folder / "ladder.png")
    browser.run("document.querySelector('.pictures').scrollIntoView({block: 'center'})")
    browser.picture(folder / "pictures.png")

    row = browser.run("""
        const mark = document.querySelectorAll('.picture')[1].querySelectorAll('.seg')[6];
        const area = mark.getBoundingClientRect();
        mark.dispatchEvent(new MouseEvent('click', { bubbles: true, clientX: area.x + area.width / 2, clientY: area.y + area.height / 2 }));
        return [mark.dataset.row, document.querySelector('.rung[aria-selected=true]').id, mark.classList.contains('on')];""")  # fmt: skip
    check("a click in a picture selects its arrow", row[1] == f"r{row[0]}" and row[2], row)
    moved = browser.run("""
        document.querySelector('.rungs').focus();
        document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowDown', bubbles: true }));
        return document.querySelector('.rung[aria-selected=true]').id;""")  # fmt: skip
    check("the next arrow is selected by keyboard", moved == f"r{int(row[0]) + 1}", moved)
    line = browser.run("""
        window.copied = null;
        Object.defineProperty(navigator, 'clipboard', { value: { writeText: async (text) => { window.copied = text; } }, configurable: true });
        document.querySelector('.copy').click();
        return window.copied;""")  # fmt: skip
    check("an arrow is copied as a line of a scenario", line and json.loads(line).split()[1:3] in (["<", "get"], [">", "get"]), line)
    browser.run("document.querySelector('.source').scrollIntoView({block: 'center'})")
    browser.picture(folder / "source.png")
    browser.keys("\ue00c")
    check("Escape leads back", browser.run("return location.hash") in ("", "#"), browser.run("return location.hash"))

    # The word that something was copied goes by itself.
    gone = "return getComputedStyle(document.getElementById('said')).opacity === '0'"
    deadline = time.monotonic() + 10
    while not browser.run(gone) and time.monotonic() < deadline:
        time.sleep(0.1)
    browser.scheme("dark")
    paper = browser.run("return getComputedStyle(document.body).backgroundColor")
    check("there is a dark form", paper == "rgb(20, 23, 26)", paper)
    browser.picture(folder / "index-dark.png")
    browser.open(f"{address}#s/{name}")
    tall(browser, folder / "scenario-dark.png")
    browser.scheme("light")
    for width in (400, 1280):
        browser.size(width, 820)
        for hash, word in (("", "index"), (f"#s/{name}", "scenario")):
            browser.open("about:blank")
            browser.open(f"{address}{hash}")
            wide = browser.run("return [document.documentElement.scrollWidth, innerWidth]")
            check(f"the {word} fits {width} pixels", wide[0] <= wide[1], wide)
            browser.picture(folder / f"{word}-{width}.png")
    browser.size(1240, 820)


def tall(browser, path):
    """A picture of a scenario from its verdict to its pictures."""
    browser.size(1240, 1560)
    browser.run("scrollTo(0, 0)")
    browser.run("const key = new KeyboardEvent('keydown', { key: 'd', bubbles: true }); document.querySelector('.rungs')?.dispatchEvent(key)")
    browser.picture(path)
    browser.size(1240, 820)


def try_page(browser, page, folder, check):
    browser.open(page.as_uri())
    ready = browser.run("return Number(document.documentElement.dataset.ready)")
    paint = browser.run("return performance.getEntriesByType('paint').map(one => Math.round(one.startTime))")
    check(f"{FLOWS:,} flows are there within 2 s", 0 < ready < 2000 and max(paint, default=0) < 2000, [ready, paint])
    print(f"        script done after {ready} ms, painted at {paint} ms")
    slowest = 0
    for query, least in [("192.0.2.7", 1), ("pass -192.0.2.1", 1), ("nothing-like-it", 0), ("", FLOWS)]:
        took, rows = browser.run("""
            const field = document.querySelector('input[type=search]');
            const before = performance.now();
            field.value = arguments[0]; field.dispatchEvent(new Event('input'));
            document.body.offsetHeight;
            return [performance.now() - before, document.querySelector('.axis-row').textContent];""", query)  # fmt: skip
        slowest = max(slowest, took)
        shown = int(rows.split(" flow")[0].replace(",", ""))
        check(f"the filter {query!r} leaves flows", shown >= least and (least or not shown), rows)
    check("a filter acts within 200 ms", slowest < 200, slowest)
    print(f"        the slowest filter took {slowest:.0f} ms")
    worst = browser.run("return document.querySelector('.frow .verdict').textContent")
    check("what cannot be replayed comes first", worst == "unreplayable", worst)
    browser.picture(folder / "flows.png")
    browser.keys("\ue015")
    detail = browser.run("return document.querySelector('#detail').textContent")
    check("a flow opens by keyboard", detail.startswith("Flow "), detail[:80])
    browser.picture(folder / "flow.png")
    browser.run("document.querySelector('#detail').scrollIntoView()")
    browser.picture(folder / "flow-detail.png")


def load_page(browser, page, folder, check):
    address = page.as_uri()
    browser.size(1280, 820)
    browser.open(address)
    rows = browser.run("""
        return [...document.querySelectorAll('#list tr[data-name]')].map(row => [...row.children].map(cell => cell.textContent));""")  # fmt: skip
    check("a missed limit comes first", [row[0] for row in rows] == ["miss", "pass"], rows)
    check("a row has throughput, lag and memory", all("bit/s" in row[4] and "s" in row[5] and "B" in row[6] for row in rows), rows)
    browser.picture(folder / "load.png")
    browser.keys("j\ue007")
    name = browser.run("return decodeURIComponent(location.hash)")
    check("a load opens by keyboard", name.startswith("#s/") and name.endswith("/missed_limit"), name)
    missed = browser.run("return [...document.querySelectorAll('.failure')].map(one => one.textContent)")
    check("what was missed is said", any("peak_heap" in one for one in missed) and any("max_lag_p99" in one for one in missed), missed)

    name = urllib.parse.quote(name.replace("missed_limit", "streams_and_datagrams").removeprefix("#s/"), safe="")
    browser.open("about:blank")
    browser.open(f"{address}#s/{name}")
    seen = browser.run("""
        return {
            heads: [...document.querySelectorAll('.picture h3')].map(one => one.firstChild.textContent),
            curves: [...document.querySelectorAll('.picture')].map(one => one.querySelectorAll('.curve').length),
            points: document.querySelector('.bar small').textContent,
            told: document.querySelector('.legend').textContent,
            figures: document.querySelectorAll('.facts dt').length,
            wide: document.documentElement.scrollWidth <= innerWidth,
        };""")  # fmt: skip
    check("throughput, frames, lag and memory are drawn", seen["heads"] == ["Throughput", "Frames", "Lag", "Memory"], seen)
    check("each picture has its curves", seen["curves"] == [2, 2, 3, 2], seen)
    check("a run has points", int(seen["points"].split()[0]) >= 3, seen)
    check("a legend says the most", "at most" in seen["told"] and "bit/s" in seen["told"], seen)
    check("the figures are there", seen["figures"] >= 10, seen)
    check("no load is wider than the page", seen["wide"], seen)
    tall(browser, folder / "load-scenario.png")
    browser.keys("\ue014\ue014")
    moved = browser.run("""
        return [document.querySelector('.cursor').getAttribute('x1'), document.querySelector('.bar small').textContent,
            document.querySelector('.legend').textContent];""")  # fmt: skip
    check("a point in time is chosen by keyboard", float(moved[0]) > 0 and moved[1].startswith("at ") and "at most" not in moved[2], moved)
    x = browser.run("""
        const box = document.querySelectorAll('.picture svg')[2], area = box.getBoundingClientRect();
        box.dispatchEvent(new MouseEvent('mousemove', { bubbles: true, clientX: area.right - 12, clientY: area.y + 40 }));
        return [...document.querySelectorAll('.cursor')].map(one => Number(one.getAttribute('x1')));""")  # fmt: skip
    check("a point under the pointer is shown in every picture", len(set(x)) == 1 and x[0] > 300, x)
    browser.keys("\ue00c")
    check("Escape leads back to all loads", browser.run("return location.hash") in ("", "#"), browser.run("return location.hash"))
    browser.scheme("dark")
    browser.open("about:blank")
    browser.open(f"{address}#s/{name}")
    tall(browser, folder / "load-scenario-dark.png")
    browser.scheme("light")
    for width in (400, 1280):
        browser.size(width, 820)
        for hash, word in (("", "index"), (f"#s/{name}", "scenario")):
            browser.open("about:blank")
            browser.open(f"{address}{hash}")
            wide = browser.run("return [document.documentElement.scrollWidth, innerWidth]")
            check(f"the {word} of a load fits {width} pixels", wide[0] <= wide[1], wide)
            browser.picture(folder / f"load-{word}-{width}.png")
    browser.size(1240, 820)


def quiet(browser, check):
    errors = [entry["message"] for entry in browser.log("browser") if entry["level"] in ("SEVERE", "WARNING")]
    check("the console has no error", not errors, errors)
    asked = set()
    for entry in browser.log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            url = message["params"]["request"]["url"]
            if not url.startswith("data:"):
                asked.add(urllib.parse.urlsplit(url)._replace(fragment="").geturl())
    beyond = [url for url in asked if not (url.startswith("file:") and url.endswith("/index.html"))]
    check("no request leaves the file", asked and not beyond, beyond)


if __name__ == "__main__":
    sys.exit(main())
