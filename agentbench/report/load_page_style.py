"""The page's style: one column that reads in light and in dark, and six colours that tell lines apart in both."""

STYLE = (
    """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5c6878; --page: #fbfcfd; --card: #fff; --rule: #e3e8ee;
  --c0: #2563c9; --c1: #d9620f; --c2: #16855b; --c3: #b0308c; --c4: #7a5bd0; --c5: #8a6d00;
  --good: #0d7a45; --bad: #c0262d; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ebf2; --soft: #98a5b6; --page: #10151c; --card: #171e27;
  --rule: #2a3441; --c0: #6ea8ff; --c1: #ff9d5c; --c2: #4fd09a; --c3: #f07fd0; --c4: #b39cff; --c5: #e3c34a;
  --good: #4fd09a; --bad: #ff7b80; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1200px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 26px; margin: 0; } h2 { font-size: 20px; margin: 40px 0 0; } h3 { font-size: 15px; margin: 24px 0 8px; }
.sub, .key { color: var(--soft); } .sub { margin: 2px 0 18px; }
.legend { display: flex; flex-wrap: wrap; gap: 6px 20px; margin: 0 0 10px; }
.legend i { display: inline-block; width: 18px; height: 4px; border-radius: 2px; margin: 0 8px 3px 0; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(440px, 100%), 1fr)); gap: 16px;
  margin-bottom: 24px; }
figure { margin: 0; padding: 14px 14px 8px; background: var(--card); border: 1px solid var(--rule);
  border-radius: 8px; }
figcaption { font-weight: 600; margin-bottom: 4px; }
svg { width: 100%; height: auto; display: block; }
.rule { stroke: var(--rule); } .tick { fill: var(--soft); font-size: 12px; }
polyline { fill: none; stroke-width: 2.5; stroke-linejoin: round; } .dashed { stroke-dasharray: 5 4; opacity: .65; }
polyline.dashed { stroke-width: 1.5; }
"""
    + "".join(
        f"polyline.c{n} {{ stroke: var(--c{n}); }} circle.c{n} {{ fill: var(--c{n}); }}"
        f" i.c{n} {{ background: var(--c{n}); }}\n"
        for n in range(6)
    )
    + """
.wide { overflow-x: auto; }
table { border-collapse: collapse; background: var(--card); font-variant-numeric: tabular-nums; }
th, td { padding: 4px 12px; border: 1px solid var(--rule); text-align: right; white-space: nowrap; }
tbody th { text-align: left; font-weight: 500; } thead th { font-weight: 600; vertical-align: bottom; }
small { color: var(--soft); font-weight: 400; } .good { color: var(--good); font-weight: 600; }
.bad { color: var(--bad); font-weight: 600; }
pre { padding: 12px 14px; background: var(--card); border: 1px solid var(--rule); border-radius: 8px;
  white-space: pre-wrap; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 18px; } dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
"""
)
