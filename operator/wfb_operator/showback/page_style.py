"""The page's style: light and dark by the reader's setting, and on paper; no outside fonts, scripts or images."""

STYLE = """
:root { color-scheme: light dark; --ground: #fbfbf9; --card: #ffffff; --text: #1c2024; --soft: #5b636b; --line: #dfe2e5;
  --good: #1a7f4b; --bad: #b42318; --accent: #2f5fd0; --bar: #dfe6f7;
  --c0: #3563c9; --c1: #d98a04; --c2: #c2453a; --c3: #2e9483; --c4: #7c4dcf; --c5: #4f8a2b; --c6: #bd5795; --c7: #9aa2aa; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171a; --card: #1c2024; --text: #eceef0; --soft: #a3abb3;
  --line: #343a40; --good: #56c58a; --bad: #ff8a7a; --accent: #8fb0ff; --bar: #2b3a5e;
  --c0: #7499f2; --c1: #f0b54a; --c2: #ef8278; --c3: #5cc3b1; --c4: #b08cf2; --c5: #8cc566; --c6: #e28fc0; --c7: #7b848d; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1040px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 26px; line-height: 1.2; margin: 0 0 4px; } h2 { font-size: 18px; margin: 0 0 2px; }
p { margin: 0 0 10px; } .soft { color: var(--soft); } .small { font-size: 13px; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 18px 20px; margin-top: 18px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin-top: 18px; }
.tiles > div { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 12px 16px; }
.tiles dt { color: var(--soft); font-size: 13px; } .tiles dd { margin: 0; font-size: 23px; font-variant-numeric: tabular-nums; }
.tiles dd + dd { font-size: 13px; color: var(--soft); }
dl { margin: 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); font-size: 13px; padding-bottom: 6px; }
th, td { padding: 5px 10px 5px 0; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { font-weight: 600; font-size: 13px; color: var(--soft); } tbody th { color: var(--text); font-size: 15px; font-weight: 400; }
th:first-child, td:first-child { text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 140px; }
td.wide { width: 30%; min-width: 120px; } td.narrow { width: 16%; min-width: 90px; } tfoot th, tfoot td { font-weight: 600; border-bottom: 0; color: var(--text); }
.up { color: var(--bad); } .down { color: var(--good); }
.meter { display: block; height: 11px; border-radius: 3px; background: var(--bar); overflow: hidden; }
.meter > i { display: block; height: 100%; background: var(--accent); } .meter > i.over { background: var(--bad); }
.meter > i.near { background: var(--c1); }
.swing { display: grid; grid-template-columns: 1fr 1fr; height: 11px; }
.swing > i { display: block; height: 100%; } .swing .less { justify-self: end; background: var(--good); border-radius: 3px 0 0 3px; }
.swing .more { grid-column: 2; background: var(--bad); border-radius: 0 3px 3px 0; }
.chart { display: block; width: 100%; height: auto; margin-top: 6px; } .chart .grid { stroke: var(--line); }
.chart .axis { fill: var(--soft); font: 12px system-ui, sans-serif; }
.key { display: flex; flex-wrap: wrap; gap: 4px 18px; list-style: none; padding: 0; margin: 10px 0 0; font-size: 13px; }
.key i { display: inline-block; width: 11px; height: 11px; border-radius: 2px; margin-right: 6px; vertical-align: -1px; }
details { margin-top: 12px; font-size: 13px; } summary { cursor: pointer; color: var(--accent); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.k0 { fill: var(--c0); background: var(--c0); } .k1 { fill: var(--c1); background: var(--c1); }
.k2 { fill: var(--c2); background: var(--c2); } .k3 { fill: var(--c3); background: var(--c3); }
.k4 { fill: var(--c4); background: var(--c4); } .k5 { fill: var(--c5); background: var(--c5); }
.k6 { fill: var(--c6); background: var(--c6); } .k7 { fill: var(--c7); background: var(--c7); }
.stage { border: 1px solid var(--line); border-radius: 4px; padding: 0 7px; font-size: 13px; }
@media print { body { background: #fff; } section, .tiles > div { break-inside: avoid; } details { display: none; } }
"""
