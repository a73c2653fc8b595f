// Tables that sort, attention maps, light and dark.

document.querySelectorAll("table.sortable").forEach((table) => {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => heading.firstElementChild.addEventListener("click", () => {
    const sorted = heading.getAttribute("aria-sort"); // older Firefox has no ariaSort
    const falling = sorted !== "descending" && (column > 0 || sorted === "ascending");
    headings.forEach((each) => each.setAttribute("aria-sort", "none"));
    heading.setAttribute("aria-sort", falling ? "descending" : "ascending");
    const value = (row) => {
      const cell = row.cells[column];
      return column === 0 ? cell.textContent : "value" in cell.dataset ? Number(cell.dataset.value) : NaN;
    };
    const order = (a, b) => {
      const [one, other] = [value(a), value(b)];
      if (column === 0) return (falling ? -1 : 1) * one.localeCompare(other, undefined, { numeric: true });
      if (Number.isNaN(one) || Number.isNaN(other)) return Number.isNaN(one) - Number.isNaN(other); // last, either way
      return falling ? other - one : one - other;
    };
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort(order));
  }));
});

function drawMaps() {
  const ink = colour("accent").match(/[0-9a-f]{2}/gi).map((part) => parseInt(part, 16));
  const paper = colour("paper").match(/[0-9a-f]{2}/gi).map((part) => parseInt(part, 16));
  document.querySelectorAll(".map").forEach((canvas) => {
    const { shape: [height, width], weights } = PAGE.maps[canvas.dataset.map];
    const bytes = bytesOf(weights);
    Object.assign(canvas, { width, height });
    canvas.style.aspectRatio = `${width} / ${height}`;
    const picture = new ImageData(width, height);
    bytes.forEach((weight, i) => {
      const share = Math.sqrt(weight / 255);
      for (let c = 0; c < 3; c++) picture.data[4 * i + c] = paper[c] + share * (ink[c] - paper[c]);
      picture.data[4 * i + 3] = 255;
    });
    canvas.getContext("2d").putImageData(picture, 0, 0);
  });
}

byId("to-attention").hidden = !byId("attention");
drawMaps();
const repaint = () => { drawMaps(); draw(); };
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
byId("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  repaint();
});
