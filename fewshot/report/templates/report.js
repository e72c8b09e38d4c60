"use strict";
const number = new Intl.Collator("en", {numeric: true});
const compare = (a, b) => (isNaN(a) || isNaN(b) || a === "" || b === "" ? number.compare(a, b) : a - b);

function sortBy(heading) {
  const table = heading.closest("table"), column = heading.cellIndex;
  const descending = heading.getAttribute("aria-sort") === "none"
    ? heading.classList.contains("number") : heading.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
  heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const rows = [...table.tBodies[0].rows], key = row => row.cells[column].dataset.key;
  rows.sort((a, b) => (descending ? -1 : 1) * compare(key(a), key(b)));
  table.tBodies[0].append(...rows);
}

for (const button of document.querySelectorAll(".sortable th button"))
  button.addEventListener("click", () => sortBy(button.parentElement));

let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("#differences details:not([open]), .one-episode:not([open])")];
  for (const one of opened) one.open = true;
});
addEventListener("afterprint", () => { for (const one of opened) one.open = false; });
