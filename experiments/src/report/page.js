// Draws the charts of the page in the colours of its style sheet.
const style = getComputedStyle(document.documentElement);

// `var(--name)` at the start of a colour stands for the style sheet's; two digits of opacity may follow.
const coloured = (key, value) =>
  /color$/i.test(key) && typeof value === "string"
    ? value.replace(/^var\((--[\w-]+)\)/, (_, name) => style.getPropertyValue(name).trim())
    : value;

// Saves a chart as a picture, with its heading above the legend.
const save = (format, icon) => ({
  name: `save-${format}`,
  title: `Save as ${format.toUpperCase()}`,
  icon,
  click: ({ data, layout, offsetWidth: width, offsetHeight, parentElement }) => {
    const heading = parentElement.closest("figure").querySelector("h3").textContent;
    const text = `<b>${heading.replace(/&/g, "&amp;").replace(/</g, "&lt;")}</b>`;
    const legend = { ...layout.legend, title: { text, side: "top", font: { size: 14 } } };
    const filename = heading.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 48) || "chart";
    const options = { format, filename, scale: format === "png" ? 2 : 1, width, height: offsetHeight + 24 };
    Plotly.downloadImage({ data, layout: { ...layout, legend } }, options);
  },
});

const config = {
  displaylogo: false,
  responsive: true,
  modeBarButtons: [
    ["zoom2d", "pan2d", "resetScale2d"],
    [save("png", Plotly.Icons.camera), save("svg", Plotly.Icons.disk)],
  ],
};

function draw() {
  for (const figure of document.querySelectorAll("figure.chart")) {
    const { data, layout } = JSON.parse(figure.querySelector("script").textContent, coloured);
    // A finger that drags over a chart scrolls the page.
    if (matchMedia("(pointer: coarse)").matches) layout.dragmode = false;
    Plotly.react(figure.querySelector(".plot"), data, layout, config);
  }
}

draw();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
