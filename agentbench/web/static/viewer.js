// A running run is followed, and attempts are reviewed by keyboard.
const progress = document.getElementById('progress');
if (progress) {
  const source = new EventSource(progress.dataset.events);
  let asking = false, again = false;
  async function refresh() {
    if (asking) { again = true; return; }
    asking = true;
    const began = performance.now();
    const answer = await fetch(location.href, {headers: {'X-Part': 'live'}});
    // What is being typed or marked in the part that is renewed must not be lost.
    const live = document.getElementById('live');
    if (answer.ok && !live.contains(document.activeElement)) live.innerHTML = await answer.text();
    // A long run takes a while to be worked out: most of the machine is left to what is being measured.
    setTimeout(() => { asking = false; if (again) { again = false; refresh(); } },
      Math.max(1000, 9 * (performance.now() - began)));
  }
  function told(event) {
    const said = JSON.parse(event.data);
    progress.textContent = `· ${said.attempts.toLocaleString('en')} of ${said.planned.toLocaleString('en')} attempts`;
    return said;
  }
  source.addEventListener('progress', event => { told(event); refresh(); });
  source.addEventListener('ended', event => {
    source.close();
    const said = told(event), status = document.getElementById('status');
    status.textContent = said.status;
    status.className = `status-${said.status}`;
    refresh();
  });
}

const verdict = document.getElementById('verdict');
if (verdict) {
  const comment = verdict.elements.comment;
  document.addEventListener('keydown', event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === 'Escape') { comment.blur(); return; }
    if (event.target.closest('input, select, textarea')) return;
    const press = {p: '[value=pass]', f: '[value=fail]'}[event.key];
    if (press) verdict.querySelector(press).click();
    else if (event.key === 's') document.getElementById('skip')?.click();
    else if (event.key === 'c') comment.focus();
    else return;
    event.preventDefault();
  });
}
