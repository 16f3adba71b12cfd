// Tables whose headings are buttons: a click or Enter sorts by that column, the next one the other way round.
"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.title = "sort by this column";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const rows = [...body.rows].map((row) => [row.cells[column].textContent.trim(), row]);
      const known = rows.filter(([text]) => text !== "–" && text !== "");
      const unknown = rows.filter(([text]) => text === "–" || text === "");
      const number = (text) => Number(text.replaceAll(",", ""));
      const numeric = known.every(([text]) => Number.isFinite(number(text)));
      const before = head.getAttribute("aria-sort");
      const ascending = before ? before === "descending" : !numeric;
      const compare = numeric ? (a, b) => number(a) - number(b) : (a, b) => a.localeCompare(b, "en", { numeric: true });
      known.sort(([a], [b]) => (ascending ? compare(a, b) : compare(b, a)));
      body.append(...[...known, ...unknown].map(([, row]) => row));
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    });
  });
}
