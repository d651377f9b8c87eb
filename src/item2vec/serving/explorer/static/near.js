// The map of a listing and its neighbours: what the cards say, drawn where they lie. Texts stay texts.
(function () {
  "use strict";

  function startMap(ground) {
    var calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches, tiles = ground.dataset.tiles;
    var map = L.map(ground, {
      zoomAnimation: !calm, fadeAnimation: !calm, worldCopyJump: true, scrollWheelZoom: false,
      zoomSnap: tiles ? 1 : 0.25 // tiles are blurred between their own scales; lines are not
    });
    map.attributionControl.setPrefix(false);
    map.on("focus click", function () { map.scrollWheelZoom.enable(); });
    map.on("blur", function () { map.scrollWheelZoom.disable(); });
    if (!tiles) return map;
    var credit = document.createElement("i");
    credit.textContent = ground.dataset.credit;
    // Some who give tiles away want to know to whom: they are told this server's name, never the page's address.
    L.tileLayer(tiles, { maxZoom: 19, attribution: credit.innerHTML, referrerPolicy: "origin" }).addTo(map);
    return map;
  }

  function drawGraticule(map) {
    var graticule = L.layerGroup().addTo(map), style = { className: "graticule", weight: 1, interactive: false };
    function lines() {
      graticule.clearLayers();
      var bounds = map.getBounds(), west = bounds.getWest(), east = bounds.getEast(), south = bounds.getSouth(), north = bounds.getNorth();
      var span = Math.max(east - west, north - south), step = Math.pow(10, Math.floor(Math.log(span / 3) / Math.LN10));
      if (span / step > 20) step *= 5; else if (span / step > 8) step *= 2;
      for (var x = Math.ceil(west / step) * step; x < east; x += step) L.polyline([[south, x], [north, x]], style).addTo(graticule);
      for (var y = Math.ceil(south / step) * step; y < north; y += step) L.polyline([[y, west], [y, east]], style).addTo(graticule);
    }
    lines();
    map.on("moveend", lines);
  }

  function label(element) {
    var text = document.createElement("span"), title = element.dataset.title;
    text.dir = "auto";
    text.textContent = (title.length > 60 ? title.slice(0, 59) + "…" : title) + (element.dataset.score ? "  " + element.dataset.score : "");
    return text;
  }

  function placeOf(element) { return [Number(element.dataset.lat), Number(element.dataset.lon)]; }

  function point(element, options) {
    return L.circleMarker(placeOf(element), options).bindTooltip(label(element), { direction: "top", offset: [0, -8] });
  }

  function neighbour(card, panel, ink) {
    var value = card.querySelector(".bar .value"), link = card.querySelector("h3 a");
    var marker = point(card, { radius: 7, weight: 1.5, color: panel, fillColor: value ? getComputedStyle(value).fill : ink, fillOpacity: 1, className: "neighbour" });
    marker.on("click", function () { link.click(); });
    marker.on("mouseover", function () { card.classList.add("lit"); });
    marker.on("mouseout", function () { card.classList.remove("lit"); });
    function show() { marker.setStyle({ color: ink, weight: 2 }).setRadius(10).bringToFront().openTooltip(); }
    function hide() { marker.setStyle({ color: panel, weight: 1.5 }).setRadius(7).closeTooltip(); }
    card.addEventListener("mouseenter", show);
    card.addEventListener("mouseleave", hide);
    link.addEventListener("focus", show);
    link.addEventListener("blur", hide);
    return marker;
  }

  window.item2vecNear = function () {
    var ground = document.getElementById("near");
    if (!ground || ground.dataset.drawn || !window.L) return;
    ground.dataset.drawn = "yes";
    ground.textContent = "";
    var style = getComputedStyle(document.documentElement);
    var panel = style.getPropertyValue("--panel").trim(), ink = style.getPropertyValue("--ink").trim();
    var cards = Array.prototype.slice.call(document.querySelectorAll("#neighbours .card[data-lat]"));
    var own = document.querySelector(".hero[data-lat]"), map = startMap(ground);
    map.fitBounds(L.latLngBounds(cards.concat(own || []).map(placeOf)).pad(0.12), { maxZoom: 15, animate: false });
    if (!ground.dataset.tiles) drawGraticule(map);
    cards.reverse().forEach(function (card) { neighbour(card, panel, ink).addTo(map); }); // the best on top
    if (own) point(own, { radius: 9, weight: 3, color: ink, fillColor: panel, fillOpacity: 1, className: "own" }).addTo(map);
    L.control.scale({ imperial: false }).addTo(map);
  };
})();
