// What the points of the embedding map are painted with, by day and by night, and what its legend says of it.
window.item2vecColours = (function () {
  "use strict";
  var days = ["#3f7cac", "#d1843c", "#4d9455", "#b95a6b", "#7d6cb4", "#94734a", "#c77fb4", "#8a9a2f", "#3c9c9c", "#2f3f73"];
  var nights = ["#6db3e8", "#f0a860", "#79cc82", "#ec8a9b", "#b0a1f0", "#cfac7c", "#eda5da", "#c3d45c", "#6fd6d6", "#f2efe4"];
  var dark = window.matchMedia("(prefers-color-scheme: dark)");
  var OTHER = -1, UNKNOWN = -2, STEPS = 10;

  function css(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }

  function channels(paint) {
    return paint[0] === "#"
      ? [1, 3, 5].map(function (place) { return parseInt(paint.slice(place, place + 2), 16); })
      : paint.match(/\d+/g).map(Number);
  }

  function ramp(step) { // from faint to accent
    var low = channels(css("--faint")), high = channels(css("--accent")), share = (step + 1) / STEPS;
    return "rgb(" + low.map(function (one, place) { return Math.round(one + share * (high[place] - one)); }).join(",") + ")";
  }

  // Numbers come as ranks from 0 to 100.
  function stepOf(own, code) { return own.names || code < 0 ? code : Math.min(STEPS - 1, Math.floor(code / STEPS)); }

  function paintOf(own, step) {
    if (step === UNKNOWN) return css("--line");
    if (step === OTHER) return css("--soft");
    return own.names ? (dark.matches ? nights : days)[step % days.length] : ramp(step);
  }

  function swatch(paints) {
    var space = "http://www.w3.org/2000/svg", svg = document.createElementNS(space, "svg");
    svg.setAttribute("viewBox", "0 0 " + paints.length + " 1");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    if (paints.length > 1) svg.setAttribute("class", "ramp");
    paints.forEach(function (paint, place) {
      var part = document.createElementNS(space, "rect");
      [["x", place], ["width", 1], ["height", 1], ["fill", paint]].forEach(function (pair) { part.setAttribute(pair[0], pair[1]); });
      svg.append(part);
    });
    return svg;
  }

  function explain(legend, own, steps) {
    function entry(paints, before, after) {
      var item = document.createElement("li");
      var told = document.createElement("span");
      told.textContent = told.title = after;
      item.append(before, swatch(paints), told);
      legend.append(item);
    }
    function text(number) { return number.toLocaleString("en"); }
    legend.textContent = "";
    if (own.names) own.names.forEach(function (name, code) { entry([paintOf(own, code)], "", name); });
    else if (own.ends.length) {
      var paints = Array.from({ length: STEPS }, function (_, step) { return ramp(step); });
      entry(paints, text(own.ends[0]), text(own.ends[2]) + " (half are below " + text(own.ends[1]) + ")");
    }
    if (steps.indexOf(OTHER) >= 0) entry([paintOf(own, OTHER)], "", "others");
    if (steps.indexOf(UNKNOWN) >= 0) entry([paintOf(own, UNKNOWN)], "", "unknown");
  }

  return { css: css, channels: channels, stepOf: stepOf, paintOf: paintOf, explain: explain, dark: dark };
})();
