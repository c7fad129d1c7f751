"""The style and the script of pages with charts, beside the style that all pages share."""

STYLE = """
main { max-width: 1240px; overflow-wrap: anywhere; } figure { min-width: 0; }
.verdict p { margin: 4px 0; } .verdict { padding: 12px 16px; background: var(--card); border: 1px solid var(--rule);
  border-radius: 8px; margin-top: 14px; }
.note { color: var(--c1); } .verdict .more { margin-left: 22px; }
.charts { grid-template-columns: repeat(auto-fit, minmax(min(520px, 100%), 1fr)); margin-top: 14px; }
.charts .whole { grid-column: 1 / -1; } .plot { min-height: 120px; }
.noscript .plot { min-height: 0; }
td.text, th.text { text-align: left; white-space: normal; min-width: 260px; overflow-wrap: anywhere; }
td pre { margin: 0; padding: 0; border: 0; background: none; font-size: 13px; max-width: 560px; }
th button { all: unset; cursor: pointer; }
th button:focus-visible, summary:focus-visible { outline: 2px solid var(--c0); }
th[aria-sort=ascending] button::after { content: " ▲"; } th[aria-sort=descending] button::after { content: " ▼"; }
details { margin: 6px 0; } summary { cursor: pointer; padding: 4px 0; }
.sides { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(340px, 100%), 1fr)); gap: 12px; }
.sides pre { margin: 4px 0; } .mark { font-weight: 600; }
tr.front td:first-child, tr.front th:first-child { border-left: 3px solid var(--c2); }
@media print { body { background: #fff; color: #000; } .wide { overflow: visible; } details > * { display: block; }
  figure, .verdict, tr { break-inside: avoid; } }
"""

SCRIPT = """
const charts = JSON.parse(document.getElementById('charts').textContent);
const dark = matchMedia('(prefers-color-scheme: dark)');
function themed(layout) {
  const of = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const axis = {gridcolor: of('--rule'), zerolinecolor: of('--rule'), linecolor: of('--rule')};
  return {height: 400, ...layout, paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)',
    font: {color: of('--ink')}, margin: {l: 60, r: 20, t: 36, b: 50, ...layout.margin}, hovermode: 'closest',
    legend: {orientation: 'h', yref: 'container', y: 0.99, yanchor: 'top'},
    xaxis: {...axis, ...layout.xaxis}, yaxis: {...axis, ...layout.yaxis}};
}
function draw() {
  for (const [id, chart] of Object.entries(charts))
    Plotly.react(id, chart.data, themed(chart.layout), {displaylogo: false, responsive: true});
}
document.documentElement.classList.remove('noscript');
draw();
dark.addEventListener('change', draw);
for (const table of document.querySelectorAll('table.sortable'))
  table.querySelectorAll('thead th').forEach((head, column) => {
    head.querySelector('button').addEventListener('click', () => {
      const up = head.getAttribute('aria-sort') !== 'ascending';
      table.querySelectorAll('thead th').forEach(each => each.removeAttribute('aria-sort'));
      head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
      const value = row => row.cells[column].dataset.value ?? row.cells[column].textContent;
      const rows = [...table.tBodies[0].rows].sort((a, b) => {
        const x = value(a), y = value(b), numbers = !isNaN(parseFloat(x)) && !isNaN(parseFloat(y));
        return (numbers ? parseFloat(x) - parseFloat(y) : x.localeCompare(y)) * (up ? 1 : -1);
      });
      table.tBodies[0].append(...rows);
    });
  });
"""
