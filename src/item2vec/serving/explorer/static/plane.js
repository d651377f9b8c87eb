// The embedding map: points on a canvas, drawn colour by colour, moved by pointer, wheel, fingers and keys.
window.item2vecPlane = function () {
  "use strict";
  var box = document.getElementById("plane");
  if (!box || box.dataset.drawn) return;
  box.dataset.drawn = "yes";
  var canvas = document.getElementById("plane-canvas"), at = document.getElementById("plane-at");
  var by = document.getElementById("plane-by"), legend = document.getElementById("plane-legend");
  var pen = canvas.getContext("2d"), colours = window.item2vecColours, css = colours.css;
  var data, groups = [], width, height, view, pending = false, near = -1, grid, pixels;

  fetch(box.dataset.points, { credentials: "same-origin" }).then(function (reply) {
    if (!reply.ok) throw new Error(String(reply.status));
    return reply.json();
  }).then(begin).catch(function () { document.getElementById("plane-failed").hidden = false; });

  function begin(found) {
    data = found;
    var facts = data.n.toLocaleString("en") + (data.n < data.of ? " of " + data.of.toLocaleString("en") + ", those clicked most" : " listings");
    document.getElementById("plane-facts").textContent = facts + "; this plane keeps " + Math.round(100 * data.share) + " % of the variance.";
    data.colours.forEach(function (one, place) {
      var option = document.createElement("option");
      option.value = place;
      option.textContent = one.by;
      by.append(option);
    });
    box.hidden = false;
    hash();
    colour();
    fit();
    by.addEventListener("change", function () { colour(); draw(); });
    new ResizeObserver(function () { if (canvas.isConnected) fit(); }).observe(canvas);
    colours.dark.addEventListener("change", function () { colour(); draw(); });
    listen();
  }

  function colour() {
    var own = data.colours[Number(by.value)], parts = {};
    for (var i = 0; i < data.n; i++) {
      var step = colours.stepOf(own, own.codes[i]);
      (parts[step] = parts[step] || []).push(i);
    }
    var steps = Object.keys(parts).map(Number).sort(function (a, b) { return a - b; });
    groups = steps.map(function (step) {
      return { paint: colours.paintOf(own, step), points: Int32Array.from(parts[step]) };
    });
    colours.explain(legend, own, steps);
  }

  function fit() {
    var old = width && { width: width, height: height, view: view };
    var ratio = Math.min(window.devicePixelRatio || 1, 2);
    width = canvas.clientWidth;
    height = canvas.clientHeight;
    if (!width || !height) return;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    if (!old) whole();
    draw();
  }

  function whole() {
    var right = 0, top = 0;
    for (var i = 0; i < data.n; i++) {
      if (data.x[i] > right) right = data.x[i];
      if (data.y[i] > top) top = data.y[i];
    }
    var scale = Math.min((width - 48) / (right || 1), (height - 48) / (top || 1));
    view = { scale: scale, x: (width - scale * right) / 2, y: (height + scale * top) / 2, least: scale };
  }

  function draw() {
    if (pending) return;
    pending = true;
    requestAnimationFrame(paint);
  }

  function paint() {
    pending = false;
    if (!view) return;
    var started = performance.now();
    pen.clearRect(0, 0, width, height);
    var size = Math.max(1.6, Math.min(9, (data.n > 10000 ? 1.8 : data.n > 3000 ? 3.2 : 4.4) * Math.pow(view.scale / view.least, 0.45))), half = size / 2;
    if (data.n > 5000) dots(size); else circles(half);
    if (document.activeElement === canvas && canvas.matches(":focus-visible")) cross();
    if (near >= 0) ring(near, size);
    canvas.dataset.ms = (performance.now() - started).toFixed(1);
  }

  function circles(half) {
    pen.globalAlpha = 0.82;
    groups.forEach(function (group) {
      pen.fillStyle = group.paint;
      pen.beginPath();
      group.points.forEach(function (i) {
        var x = view.x + view.scale * data.x[i], y = view.y - view.scale * data.y[i];
        if (x < -9 || y < -9 || x > width + 9 || y > height + 9) return;
        pen.moveTo(x + half, y);
        pen.arc(x, y, half, 0, 7);
      });
      pen.fill();
    });
    pen.globalAlpha = 1;
  }

  // Many points are written as pixels: tens of thousands of shapes would take longer than a frame.
  function dots(size) {
    var ratio = canvas.width / width, across = canvas.width, down = canvas.height;
    if (!pixels || pixels.width !== across || pixels.height !== down) pixels = pen.createImageData(across, down);
    var words = new Uint32Array(pixels.data.buffer), side = Math.max(2, Math.round(size * ratio)), half = side >> 1;
    words.fill(0);
    var scale = view.scale * ratio, left = view.x * ratio - half, top = view.y * ratio - half;
    groups.forEach(function (group) {
      var word = wordOf(group.paint), points = group.points;
      for (var j = 0; j < points.length; j++) {
        var x = Math.round(left + scale * data.x[points[j]]), y = Math.round(top - scale * data.y[points[j]]);
        if (x < 0 || y < 0 || x + side > across || y + side > down) continue;
        for (var row = 0; row < side; row++) {
          // Corners are left out, so that larger points are round.
          var inset = side > 4 && (row === 0 || row === side - 1) ? 1 + (side > 7 ? 1 : 0) : 0;
          words.fill(word, (y + row) * across + x + inset, (y + row) * across + x + side - inset);
        }
      }
    });
    pen.putImageData(pixels, 0, 0);
  }

  function wordOf(paint) {
    var parts = colours.channels(paint);
    return (255 << 24 | parts[2] << 16 | parts[1] << 8 | parts[0]) >>> 0;
  }

  function cross() {
    pen.strokeStyle = css("--soft");
    pen.beginPath();
    pen.moveTo(width / 2 - 9, height / 2);
    pen.lineTo(width / 2 + 9, height / 2);
    pen.moveTo(width / 2, height / 2 - 9);
    pen.lineTo(width / 2, height / 2 + 9);
    pen.stroke();
  }

  function ring(i, size) {
    pen.strokeStyle = css("--ink");
    pen.lineWidth = 2;
    pen.beginPath();
    pen.arc(view.x + view.scale * data.x[i], view.y - view.scale * data.y[i], size / 2 + 3, 0, 7);
    pen.stroke();
    pen.lineWidth = 1;
  }

  function hash() { // cells of the plane and their points, so that the nearest is found at once
    grid = new Map();
    for (var i = 0; i < data.n; i++) {
      var key = (data.x[i] >> 7) * 256 + (data.y[i] >> 7);
      if (grid.has(key)) grid.get(key).push(i); else grid.set(key, [i]);
    }
  }

  function nearest(px, py, reach) {
    var x = (px - view.x) / view.scale, y = (view.y - py) / view.scale, r = reach / view.scale;
    var best = -1, least = r * r;
    for (var cx = Math.max(0, (x - r) >> 7); cx <= ((x + r) >> 7); cx++) {
      for (var cy = Math.max(0, (y - r) >> 7); cy <= ((y + r) >> 7); cy++) {
        (grid.get(cx * 256 + cy) || []).forEach(function (i) {
          var d = (data.x[i] - x) * (data.x[i] - x) + (data.y[i] - y) * (data.y[i] - y);
          if (d < least) { least = d; best = i; }
        });
      }
    }
    return best;
  }

  function show(i) {
    if (i === near) return;
    near = i;
    canvas.classList.toggle("at", i >= 0);
    if (i < 0) at.textContent = "";
    else at.textContent = ((data.titles && data.titles[i]) || data.ids[i]) + data.colours.map(function (one) {
      var code = one.codes[i];
      return one.names && code >= 0 ? " · " + one.names[code] : "";
    }).join("");
    draw();
  }

  function open(i) {
    if (i < 0) return;
    var link = document.createElement("a");
    link.href = box.dataset.listing + "?id=" + encodeURIComponent(data.ids[i]);
    box.append(link);
    link.click();
  }

  function zoom(by, px, py) {
    var scale = Math.max(view.least * 0.6, Math.min(view.least * 400, view.scale * by));
    by = scale / view.scale;
    view.x = px - by * (px - view.x);
    view.y = py - by * (py - view.y);
    view.scale = scale;
    draw();
  }

  function listen() {
    var fingers = new Map(), moved = 0, apart = 0;
    canvas.addEventListener("pointerdown", function (event) {
      canvas.setPointerCapture(event.pointerId);
      fingers.set(event.pointerId, [event.offsetX, event.offsetY]);
      moved = fingers.size > 1 ? 99 : 0;
      apart = 0;
    });
    canvas.addEventListener("pointermove", function (event) {
      var before = fingers.get(event.pointerId), here = [event.offsetX, event.offsetY];
      if (!before) return show(nearest(here[0], here[1], 14));
      fingers.set(event.pointerId, here);
      moved += Math.abs(here[0] - before[0]) + Math.abs(here[1] - before[1]);
      if (fingers.size > 1) {
        var two = Array.from(fingers.values()), now = Math.hypot(two[0][0] - two[1][0], two[0][1] - two[1][1]);
        if (apart) zoom(now / apart, (two[0][0] + two[1][0]) / 2, (two[0][1] + two[1][1]) / 2);
        apart = now;
        return undefined;
      }
      view.x += here[0] - before[0];
      view.y += here[1] - before[1];
      canvas.classList.toggle("dragged", moved > 4);
      draw();
      return undefined;
    });
    function up(event) {
      if (!fingers.delete(event.pointerId)) return;
      canvas.classList.remove("dragged");
      if (event.type === "pointerup" && moved <= 4) open(nearest(event.offsetX, event.offsetY, 18));
    }
    canvas.addEventListener("pointerup", up);
    canvas.addEventListener("pointercancel", up);
    canvas.addEventListener("pointerleave", function () { show(-1); });
    canvas.addEventListener("wheel", function (event) {
      event.preventDefault();
      zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016)), event.offsetX, event.offsetY);
    }, { passive: false });
    canvas.addEventListener("focus", draw);
    canvas.addEventListener("blur", draw);
    canvas.addEventListener("keydown", keys);
  }

  function keys(event) {
    var moves = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (moves[event.key]) {
      view.x += moves[event.key][0];
      view.y += moves[event.key][1];
    } else if (event.key === "+" || event.key === "=") zoom(1.4, width / 2, height / 2);
    else if (event.key === "-") zoom(1 / 1.4, width / 2, height / 2);
    else if (event.key === "0") whole();
    else if (event.key === "Enter") return void open(nearest(width / 2, height / 2, 80));
    else return;
    event.preventDefault();
    show(nearest(width / 2, height / 2, 80));
    draw();
  }
};
