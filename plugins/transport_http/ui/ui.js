'use strict';
// The status page: reads, shows, changes nothing. What is shown of others' bytes becomes text nodes only.

const kPollMs = 2000;
const kPoints = 90;
const kPageKeys = 50;
const kShownBytes = 400;

const byId = (id) => document.getElementById(id);
let token = sessionStorage.getItem('token') || '';

class NeedsLogin extends Error {}

async function call(path, body) {
  const headers = {'Content-Type': 'application/json'};
  if (token) headers.Authorization = token;
  const answer = await fetch('/v3/' + path, {method: 'POST', headers, body: JSON.stringify(body)});
  const json = await answer.json();
  if (answer.ok) return json;
  const text = json.message || answer.statusText;
  // The last one is told to who has a client certificate and no token.
  const refusals = /user name is empty|invalid auth token|CommonName of client/;
  if (answer.status === 401 || refusals.test(text)) throw new NeedsLogin(text);
  throw new Error(text);
}

// ---- what becomes of values

const toText = (bytes) => new TextDecoder('utf-8', {fatal: true}).decode(bytes);
const fromBase64 = (text) => Uint8Array.from(atob(text || ''), (c) => c.charCodeAt(0));
function toBase64(bytes) {
  let text = '';
  for (const b of bytes) text += String.fromCharCode(b);
  return btoa(text);
}

// Text if it is that, else hexadecimal; long values are cut.
function shown(base64) {
  const bytes = fromBase64(base64);
  const cut = bytes.length > kShownBytes ? ` … (${bytes.length} bytes)` : '';
  try {
    const text = toText(bytes);
    if (!/[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]/.test(text)) return text.slice(0, kShownBytes) + cut;
  } catch { /* Not UTF-8. */ }
  return '0x' + Array.from(bytes.slice(0, kShownBytes), (b) => b.toString(16).padStart(2, '0')).join('') + cut;
}

// The end of the range of all keys that begin with `prefix`.
function prefixEnd(prefix) {
  const end = prefix.slice();
  for (let i = end.length - 1; i >= 0; --i) {
    if (end[i] < 0xff) {
      end[i] += 1;
      return end.slice(0, i + 1);
    }
  }
  return new Uint8Array([0]);
}

function size(bytes) {
  if (bytes === undefined || bytes === null || Number.isNaN(Number(bytes))) return '–';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = Number(bytes), unit = 0;
  for (; value >= 1024 && unit < units.length - 1; ++unit) value /= 1024;
  return `${value < 10 && unit > 0 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

const hex = (decimal) => BigInt(decimal || 0).toString(16);

// ---- building the page

function element(name, text, className) {
  const e = document.createElement(name);
  if (text !== undefined) e.textContent = text;
  if (className) e.className = className;
  return e;
}

function row(cells, classes = []) {
  const tr = element('tr');
  cells.forEach((cell, i) => tr.append(element('td', cell, classes[i])));
  return tr;
}

function showCards(status, info) {
  const leader = status.leader && status.header && status.leader === status.header.member_id;
  const cards = [
    ['role', status.isLearner ? 'learner' : leader ? 'leader' : status.leader ? 'follower' : 'no leader'],
    ['term', status.raftTerm || '0'],
    ['log index', status.raftIndex || '0'],
    ['applied index', status.raftAppliedIndex || '0'],
    ['revision', (status.header && status.header.revision) || '0'],
    ['database', size(status.dbSize || 0)],
    ['of it in use', size(status.dbSizeInUse || 0)],
    ['write-ahead log', size(info.wal_bytes)],
    ['disk free', size(info.disk_free_bytes)],
    ['version', info.mortise_version || '–'],
    ['speaks as etcd', status.version || '–'],
  ];
  byId('cards').replaceChildren(...cards.map(([name, value]) => {
    const card = element('div', undefined, 'card');
    card.append(element('b', String(value)), element('span', name));
    return card;
  }));
}

function showMembers(list, status) {
  byId('members').replaceChildren(...(list.members || []).map((m) => row([
    (m.name || '(not started)') + (status.header && m.ID === status.header.member_id ? ' (this one)' : ''),
    hex(m.ID),
    m.isLearner ? 'learner' : m.ID === status.leader ? 'leader' : 'voter',
    (m.clientURLs || []).join(' '),
    (m.peerURLs || []).join(' '),
  ])));
}

function showPlugins(info) {
  byId('plugins').replaceChildren(...(info.plugins || []).map((p) => row([p.name, p.version, p.description || ''])));
}

// ---- metrics: Prometheus's text, added up over labels

function parseMetrics(text) {
  const sums = new Map();
  for (const line of text.split('\n')) {
    if (!line || line[0] === '#') continue;
    const space = line.lastIndexOf(' ');
    const series = line.slice(0, space);
    const brace = series.indexOf('{');
    const name = brace < 0 ? series : series.slice(0, brace);
    const value = Number(line.slice(space + 1));
    sums.set(name, (sums.get(name) || 0) + value);
    const method = /grpc_method="([^"]*)"/.exec(series);
    if (method) sums.set(`${name}:${method[1]}`, (sums.get(`${name}:${method[1]}`) || 0) + value);
  }
  return sums;
}

class Chart {
  constructor(id, names) {
    this.box = byId(id);
    this.names = names;
    this.points = [];
  }
  add(values) {
    this.points.push(values);
    if (this.points.length > kPoints) this.points.shift();
    this.draw();
  }
  draw() {
    const width = 400, height = 120, left = 42, bottom = 14;
    const top = Math.max(...this.points.flat().filter(Number.isFinite), 1e-9) * 1.1;
    const make = (name, attributes, text) => {
      const e = document.createElementNS('http://www.w3.org/2000/svg', name);
      for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
      if (text !== undefined) e.textContent = text;
      return e;
    };
    const svg = make('svg', {viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: 'none', role: 'img'});
    for (const part of [0, 0.5, 1]) {
      const y = (height - bottom) * (1 - part) + 8 * part;
      svg.append(make('line', {x1: left, x2: width, y1: y, y2: y, class: 'grid'}));
      svg.append(make('text', {x: 0, y: y + 3}, this.number(top * part)));
    }
    this.names.forEach((_, i) => {
      let path = '', pen = 'M';
      this.points.forEach((values, at) => {
        if (!Number.isFinite(values[i])) return void (pen = 'M');
        const x = left + (width - left) * (kPoints - this.points.length + at) / (kPoints - 1);
        const y = height - bottom - (height - bottom - 8) * values[i] / top;
        path += `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
        pen = 'L';
      });
      svg.append(make('path', {d: path || 'M0 0', class: `line line${i}`}));
    });
    const keys = element('div', undefined, 'keys');
    const last = this.points[this.points.length - 1] || [];
    this.names.forEach((name, i) => keys.append(
      element('span', `${name} ${Number.isFinite(last[i]) ? this.number(last[i]) : '–'}`, `key${i}`)));
    this.box.replaceChildren(svg, keys);
  }
  number(value) {
    return value >= 100 ? String(Math.round(value)) : value >= 1 ? value.toFixed(1) : value.toFixed(2);
  }
}

const charts = {
  rate: new Chart('chart-rate', ['writes', 'reads', 'all']),
  latency: new Chart('chart-latency', ['requests', 'reads']),
  sync: new Chart('chart-sync', ['sync']),
};
let before = null;

function addMetrics(sums) {
  const now = {at: performance.now(), sums};
  if (before) {
    const seconds = (now.at - before.at) / 1000;
    const grown = (name) => Math.max(0, (sums.get(name) || 0) - (before.sums.get(name) || 0));
    const mean = (name) => 1000 * grown(`${name}_sum`) / grown(`${name}_count`);
    const handled = (methods) => methods.reduce((n, m) => n + grown(`grpc_server_handled_total:${m}`), 0) / seconds;
    charts.rate.add([
      handled(['Put', 'DeleteRange', 'Txn']), handled(['Range', 'RangeStream']),
      grown('grpc_server_handled_total') / seconds,
    ]);
    charts.latency.add([mean('etcd_server_request_duration_seconds'), mean('etcd_server_range_duration_seconds')]);
    charts.sync.add([mean('etcd_disk_wal_fsync_duration_seconds')]);
  }
  before = now;
}

// ---- keys

let shownKeys = null;  // What the list shows, and where it goes on.

function showKeys(answer) {
  for (const kv of answer.kvs || []) {
    byId('keys').append(row(
      [shown(kv.key), shown(kv.value), kv.version, kv.create_revision, kv.mod_revision,
        kv.lease && kv.lease !== '0' ? hex(kv.lease) : ''],
      ['bytes', 'bytes']));
    shownKeys.next = new Uint8Array([...fromBase64(kv.key), 0]);
  }
  shownKeys.count += (answer.kvs || []).length;
  if (shownKeys.total === null) shownKeys.total = Number(answer.count || 0);
  byId('keys-note').textContent = `${shownKeys.count} of ${shownKeys.total} keys, revision ${shownKeys.revision}`;
  byId('keys-more').hidden = !answer.more;
}

async function readKeys() {
  const request = {
    key: toBase64(shownKeys.next), range_end: toBase64(shownKeys.end), limit: kPageKeys,
    revision: shownKeys.revision || '0',
  };
  try {
    const answer = await call('kv/range', request);
    if (!shownKeys.revision) shownKeys.revision = answer.header.revision;
    showKeys(answer);
  } catch (error) {
    byId('keys-note').textContent = error.message;
    byId('keys-more').hidden = true;
    if (error instanceof NeedsLogin) askLogin(error.message);
  }
}

byId('keys-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const prefix = new TextEncoder().encode(byId('keys-prefix').value);
  const next = prefix.length ? prefix : new Uint8Array([0]);
  shownKeys = {next, end: prefixEnd(prefix), revision: byId('keys-revision').value, count: 0, total: null};
  byId('keys').replaceChildren();
  readKeys();
});
byId('keys-more').addEventListener('click', readKeys);

// #keys=PREFIX shows these at once, so that a list can be linked to.
const wanted = new URLSearchParams(location.hash.slice(1)).get('keys');
if (wanted !== null) {
  byId('keys-prefix').value = wanted;
  byId('keys-form').requestSubmit();
}

// ---- login

function askLogin(why) {
  byId('login').hidden = false;
  if (token) byId('login-error').textContent = why;
  token = '';
  sessionStorage.removeItem('token');
}

byId('login-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  token = '';
  try {
    const answer = await call('auth/authenticate',
      {name: byId('login-name').value, password: byId('login-password').value});
    token = answer.token;
    sessionStorage.setItem('token', token);
    byId('login').hidden = true;
    byId('login-error').textContent = '';
    byId('login-password').value = '';
    if (shownKeys) byId('keys-form').requestSubmit();
    refresh();
  } catch (error) {
    byId('login-error').textContent = error.message;
  }
});

// ---- the round

function setState(text, good) {
  byId('state').textContent = text;
  byId('state').className = `pill ${good ? 'good' : 'bad'}`;
}

async function refresh() {
  try {
    const [status, info, metrics] = await Promise.all([
      call('maintenance/status', {}),
      fetch('/ui/info.json').then((a) => (a.ok ? a.json() : {})).catch(() => ({})),
      fetch('/metrics').then((a) => a.text()),
    ]);
    byId('who').textContent = `${info.name || ''} ${info.member_id || hex(status.header.member_id)} · cluster `
      + `${info.cluster_id || hex(status.header.cluster_id)}`;
    document.title = `mortise ${info.name || ''}`;
    showCards(status, info);
    showPlugins(info);
    addMetrics(parseMetrics(metrics));
    const errors = status.errors || [];
    setState(errors.length ? errors.join(', ') : status.leader ? 'healthy' : 'no leader', !errors.length && status.leader);
    showMembers(await call('cluster/member/list', {linearizable: false}), status);
  } catch (error) {
    setState(error instanceof NeedsLogin ? 'login needed' : 'not reachable', false);
    if (error instanceof NeedsLogin) askLogin(error.message);
  }
}

refresh();
setInterval(() => { if (!document.hidden) refresh(); }, kPollMs);
