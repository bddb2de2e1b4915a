/** Commands that show a recording: `steno shot` as PNG and GIF, `steno play`, and the watermark that a role requests in each. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { SessionInfo } from '#schemas/api/recordings/sessions.js';
import { openPicturePainter } from '#recordings/render/picture-png.js';
import { must, sessionsOf, viewerOf } from './client-tools.js';
import { Steno, bin } from './machine.js';
import { openAuthorities, person } from './people.js';
import type { Person } from './people.js';

const steno = new Steno();
const painter = openPicturePainter(new URL('../dist/recordings/render/picture-thread.js', `file://${bin}`));
const path = (name: string): string => join(steno.folder, name);
const SAID = /wanda, \d{4}-\d\d-\d\d \d\d:\d\d UTC/;
let session: SessionInfo;
/** Both may view everything: wanda with a watermark, alex without. */
let wanda: Person;
let alex: Person;

beforeAll(async () => {
  await steno.start();
  await steno.json('login', '--data', steno.data);
  for (const role of [
    { kind: 'role', name: 'marked', view: 'all', watermark: true },
    { kind: 'role', name: 'plain', view: 'all' },
  ]) {
    writeFileSync(path('role.yaml'), JSON.stringify(role));
    await must(steno.steno('apply', '-f', path('role.yaml')));
  }
  const ca = await openAuthorities(steno);
  for (const [name, role] of [
    ['wanda', 'marked'],
    ['alex', 'plain'],
  ] as const)
    await must(steno.steno('users', 'add', name, '--roles', role));
  wanda = await person(steno, ca, 'wanda', ['marked'], ['nobody']);
  alex = await person(steno, ca, 'alex', ['plain'], ['nobody']);
  const words = "printf 'first\\n'; sleep 1.2; printf '\\033[31msecond\\033[0m\\n'; sleep 0.6";
  [session] = (await sessionsOf(
    viewerOf(steno),
    1,
    async () => void (await must(steno.ssh('-tt', `${steno.login}@local.steno`, words))),
  )) as [SessionInfo];
}, 240_000);
afterAll(async () => {
  await painter.close();
  await steno.dispose();
});

it('play names its user before and after the replay, on standard error, if a role requests a watermark', async () => {
  const quick = ['play', session.id, '--speed', '1000', '--idle-limit', '0.01'];
  const marked = await must(wanda.steno(...quick));
  const line = new RegExp(`^Viewed by ${SAID.source}, session ${session.id}\\.$`);
  const lines = marked.stderr.trimEnd().split('\n');
  expect(lines).toEqual([expect.stringMatching(line), expect.stringMatching(line)]);
  expect(marked.stdout).toContain('second');
  expect(marked.stdout).not.toContain('Viewed by');
  const plain = await must(alex.steno(...quick));
  expect(plain.stderr).toBe('');
  expect(plain.stdout).toBe(marked.stdout);
});

it('play on a terminal names its user above and below the replay, even if it is left early', async () => {
  for (const leave of [false, true]) {
    const terminal = steno.terminal(process.execPath, [bin, 'play', session.id], { cols: 100, rows: 30 }, { STENO_HOME: wanda.home });
    await terminal.until(/first/);
    if (leave) terminal.write('q');
    expect(await terminal.ended).toBe(0);
    const text = terminal.text();
    expect(text.match(/Viewed by wanda/g)).toHaveLength(2);
    expect(text.indexOf('Viewed by wanda')).toBeLessThan(text.indexOf('first'));
    expect(text.lastIndexOf('Viewed by wanda')).toBeGreaterThan(text.indexOf('first'));
    expect(text.includes('second')).toBe(!leave);
  }
});

/** The picture of the moment for this person; both formats show the watermark of the same minute. */
async function pictures(who: Person): Promise<{ readonly svg: string; readonly png: Buffer }> {
  const svg = async (): Promise<string> => (await must(who.steno('shot', session.id, '--at', '1.6'))).stdout;
  for (let before = await svg(); ;) {
    await must(who.steno('shot', session.id, '--at', '1.6', '-o', path('moment.png')));
    const after = await svg();
    if (after === before) return { svg: after, png: readFileSync(path('moment.png')) };
    before = after;
  }
}

it('a PNG from shot has the watermark of the user who takes it, and none for others', async () => {
  const sizeOf = (svg: string): { width: number; height: number } => {
    const [, width, height] = /<svg [^>]*width="([\d.]+)" height="([\d.]+)"/.exec(svg)!;
    return { width: Number(width), height: Number(height) };
  };
  const marked = await pictures(wanda);
  expect(marked.svg).toMatch(SAID);
  expect(marked.svg.indexOf('url(#watermark)')).toBeGreaterThan(marked.svg.indexOf('second'));
  expect(marked.png.equals(await painter.paint(marked.svg, sizeOf(marked.svg)))).toBe(true);
  const plain = await pictures(alex);
  expect(plain.svg).not.toContain('watermark');
  expect(plain.png.equals(await painter.paint(plain.svg, sizeOf(plain.svg)))).toBe(true);
  expect(plain.png.equals(marked.png)).toBe(false);
});

it('a span becomes a GIF, by file name or by --from alone; an invalid span is an error', async () => {
  await must(alex.steno('shot', session.id, '--from', '0', '--to', '1.6', '-o', path('span.gif')));
  const gif = readFileSync(path('span.gif'));
  expect([gif.subarray(0, 6).toString(), gif.at(-1)]).toEqual(['GIF89a', 0x3b]);
  await must(wanda.steno('shot', session.id, '--from', '0', '--to', '1.6', '-o', path('marked.gif')));
  expect(readFileSync(path('marked.gif')).equals(gif)).toBe(false);
  const printed = await steno.exec('sh', ['-c', `'${process.execPath}' '${bin}' shot ${session.id} --from 0 --to 1.6 | head -c 6`], {
    env: { STENO_HOME: alex.home },
  });
  expect(printed.stdout).toBe('GIF89a');
  for (const wrong of [
    ['--at', '1', '-o', path('x.gif')],
    ['--from', '1', '-o', path('x.gif')],
    ['--from', '2', '--to', '1', '-o', path('x.gif')],
    ['--from', '0', '--to', '61', '-o', path('x.gif')],
    ['--from', '0', '--to', '1', '-o', path('x.png')],
    [],
  ])
    expect((await alex.steno('shot', session.id, ...wrong)).stderr, wrong.join(' ')).toContain('[USAGE]');
});
