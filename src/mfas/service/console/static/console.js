"use strict";

// Everything works without this file. It keeps pages fresh, and lets files be dropped and seen before they are sent.

const SECONDS = 4;

function keepFresh(region) {
  const timer = setInterval(async () => {
    if (document.hidden || region.contains(document.activeElement)) return;
    let response;
    try {
      response = await fetch(location.pathname, { headers: { accept: "text/html" } });
    } catch {
      return; // the service may be back the next time
    }
    if (response.status === 429 || response.status >= 500) return;
    if (!response.ok || response.redirected) {
      clearInterval(timer); // signed out: the next click tells
      return;
    }
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const fresh = page.getElementById(region.id);
    if (!fresh) return;
    const open = [...region.querySelectorAll("details")].map((one) => one.open);
    fresh.querySelectorAll("details").forEach((one, k) => (one.open = Boolean(open[k])));
    if (fresh.innerHTML !== region.innerHTML && !region.contains(document.activeElement)) {
      region.replaceChildren(...fresh.childNodes);
    }
  }, SECONDS * 1000);
}

const WORDS = [["depth", /depth|tof|distance/i], ["ir", /(^|[^a-z])(n?ir|infra-?red)([^a-z]|$)/i], ["rgb", /rgb|colou?r|photo/i]];

function preview(slot) {
  const file = slot.querySelector("input").files[0];
  const image = slot.querySelector("img");
  image.hidden = true;
  if (!file) return;
  const reader = new FileReader();
  reader.onload = () => {
    image.src = reader.result;
    image.hidden = false;
  };
  reader.readAsDataURL(file);
}

function put(slot, file) {
  const one = new DataTransfer();
  one.items.add(file);
  slot.querySelector("input").files = one.files;
  preview(slot);
}

function takeDrops(form) {
  const slots = [...form.querySelectorAll("[data-slot]")];
  const empty = () => slots.find((slot) => !slot.querySelector("input").files.length);
  form.querySelector(".script-only").hidden = false;
  slots.forEach((slot) => slot.querySelector("input").addEventListener("change", () => preview(slot)));
  form.addEventListener("dragover", (event) => {
    event.preventDefault();
    form.classList.add("over");
  });
  form.addEventListener("dragleave", () => form.classList.remove("over"));
  form.addEventListener("drop", (event) => {
    event.preventDefault();
    form.classList.remove("over");
    const files = [...event.dataTransfer.files];
    const onto = event.target.closest("[data-slot]");
    for (const file of files) {
      const word = WORDS.find(([, pattern]) => pattern.test(file.name));
      const named = word && slots.find((slot) => slot.dataset.slot === word[0]);
      const slot = (files.length === 1 && onto) || named || empty();
      if (slot) put(slot, file);
    }
  });
}

document.querySelectorAll("[data-live]").forEach(keepFresh);
document.querySelectorAll("[data-drop]").forEach(takeDrops);
