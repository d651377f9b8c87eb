// What every page has: keys, focus after a swap, and the maps set up anew.
(function () {
  "use strict";

  function setUp() {
    window.item2vecNear();
    window.item2vecPlane();
  }

  // Empty fields of a filter form are not sent: addresses stay short.
  document.addEventListener("htmx:configRequest", function (event) {
    var parameters = event.detail.parameters;
    Object.keys(parameters).forEach(function (name) {
      if (name.indexOf("f.") === 0 && parameters[name] === "") delete parameters[name];
    });
  });

  var held = "";
  document.addEventListener("htmx:beforeSwap", function (event) {
    held = document.activeElement.id;
    var kind = event.detail.xhr.getResponseHeader("Content-Type") || "";
    if (kind.indexOf("text/html") === 0) return;
    event.detail.shouldSwap = false; // a busy server, or what stands before it, answers with no page
    lose(true);
  });
  document.addEventListener("htmx:sendError", function () { lose(true); });

  function lose(lost) { document.getElementById("lost").hidden = !lost; }

  document.addEventListener("htmx:afterSettle", function (event) {
    if (event.detail.target && event.detail.target.id !== "main" && event.target.id !== "main") return;
    setUp();
    lose(false);
    var asked = event.detail.requestConfig && event.detail.requestConfig.elt;
    if (asked && asked.id === "q") tell(); // who types goes on typing
    else if (asked && asked.matches("form.filters")) {
      tell();
      goOnFiltering();
    } else {
      var main = document.getElementById("main");
      if (main) main.focus({ preventScroll: true });
    }
  });

  // What was found, to who listens and does not look.
  function tell() {
    var found = document.getElementById("found");
    document.getElementById("told").textContent = found ? found.textContent : "";
  }

  // The form was drawn anew: open, and with the focus where it was, even if no filter is left.
  function goOnFiltering() {
    var fields = document.querySelector("form.filters details"), field = document.getElementById(held);
    if (fields) fields.open = true;
    if (field) field.focus({ preventScroll: true });
  }

  function typing(element) {
    return element && (/^(INPUT|SELECT|TEXTAREA)$/).test(element.tagName);
  }

  // "/" finds; arrows go from card to card.
  document.addEventListener("keydown", function (event) {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (event.key === "/") {
      event.preventDefault();
      document.getElementById("q").focus();
      return;
    }
    var steps = { ArrowRight: 1, ArrowLeft: -1 };
    var here = event.target.closest && event.target.closest(".card");
    if (!here) return;
    var cards = Array.prototype.slice.call(here.parentElement.querySelectorAll(".card h3 a"));
    var place = cards.indexOf(here.querySelector("h3 a"));
    var step = steps[event.key];
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      var top = here.offsetTop;
      var columns = cards.filter(function (a) { return a.closest(".card").offsetTop === top; }).length;
      step = event.key === "ArrowDown" ? columns : -columns;
    }
    if (step && cards[place + step]) {
      event.preventDefault();
      cards[place + step].focus();
    }
  });

  setUp();
})();
