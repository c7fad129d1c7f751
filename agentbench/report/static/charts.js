// Draws the charts from the page's JSON. Sorts a table by a column when its heading is clicked.
const charts = JSON.parse(document.getElementById('charts')?.textContent ?? '{}');
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
