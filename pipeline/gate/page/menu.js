// A name and a list of actions come in; a "…" button with a menu goes out, worked by mouse, touch and keyboard.

import { byId, fill, make } from "/page/show.js";

const menu = byId("menu");
let opener = null;
let openedAt = 0;
let wasOpen = false;

export function menuButton(label, actions) {
  const button = make("button", { type: "button", class: "more", "aria-label": label, "aria-haspopup": "menu", "aria-expanded": "false" }, "…");
  // A press beside an open menu closes it, also one on its own button; the click that follows is not to open it again.
  button.onpointerdown = () => { wasOpen = opener === button; };
  button.onclick = () => {
    if (!wasOpen) show(button, actions());
    wasOpen = false;
  };
  return button;
}

function show(button, actions) {
  fill(menu, ...actions.map(({ name, action }) => make("button", {
    type: "button", role: "menuitem", tabindex: "-1", onclick: () => { menu.hidePopover(); button.focus(); action(); },
  }, name)));
  menu.setAttribute("aria-label", button.getAttribute("aria-label"));
  menu.showPopover();
  opener = button;
  openedAt = button.getBoundingClientRect().top;
  button.setAttribute("aria-expanded", "true");
  const place = button.getBoundingClientRect();
  const size = menu.getBoundingClientRect();
  const isBelow = place.bottom + size.height + 8 < innerHeight;
  menu.style.top = `${isBelow ? place.bottom + 4 : Math.max(8, place.top - size.height - 4)}px`;
  menu.style.left = `${Math.max(8, place.right - size.width)}px`;
  menu.firstElementChild.focus();
}

menu.addEventListener("toggle", (event) => {
  if (event.newState !== "closed" || opener === null) return;
  opener.setAttribute("aria-expanded", "false");
  if (menu.contains(document.activeElement) || document.activeElement === document.body) opener.focus();
  opener = null;
});

menu.addEventListener("keydown", (event) => {
  const items = [...menu.children];
  const at = items.indexOf(document.activeElement);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
  if (event.key === "Tab") menu.hidePopover();
  if (to === undefined) return;
  event.preventDefault();
  items.at(to % items.length).focus();
});

// It does not go along when the page is scrolled away under it.
addEventListener("scroll", () => {
  if (opener && Math.abs(opener.getBoundingClientRect().top - openedAt) > 8) menu.hidePopover();
}, { passive: true });
