/**
 * An observer in `steno join`, in a terminal: they pause, go back while the session continues, search earlier output, and catch up.
 * A participant who may watch but not view the recording gets a message instead.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { SessionInfo } from '#schemas/api/recordings/sessions.js';
import { ScreenTerminal } from '#runtime/terminal/screen-terminal.js';
import { must, viewerOf } from './client-tools.js';
import { Steno, bin, eventually } from './machine.js';
import type { Terminal } from './machine.js';
import { openAuthorities, person } from './people.js';
import type { Person } from './people.js';

const steno = new Steno();
const size = { cols: 100, rows: 30 };
let [bob, carol]: Person[] = [];
let owner: Terminal;
let session: SessionInfo;

/** The rows on the participant's screen now. */
function rowsOf(terminal: Terminal, { cols, rows } = size): readonly string[] {
  const screen = new ScreenTerminal(cols, rows);
  screen.write(terminal.text());
  const shown = Array.from({ length: rows }, (_, row) => screen.text(row).trimEnd());
  screen.dispose();
  return shown;
}
const shows = (terminal: Terminal, wanted: RegExp): Promise<string> =>
  eventually(
    async () => rowsOf(terminal).join('\n'),
    (screen) => wanted.test(screen),
  );
const joining = (who: Person): Terminal => steno.terminal(process.execPath, [bin, 'join', session.id], size, { STENO_HOME: who.home });
const run = async (words: string, until: RegExp): Promise<void> => {
  owner.write(`${words}\r`);
  await owner.until(until);
};

beforeAll(async () => {
  await steno.start();
  await must(steno.steno('login', '--data', steno.data));
  const path = join(steno.folder, 'roles.yaml');
  for (const document of [
    { kind: 'role', name: 'joiner', view: 'none', allow: { sessions: [{ actions: ['list', 'join'] }] } },
    { kind: 'role', name: 'viewer', view: 'none', allow: { sessions: [{ actions: ['list', 'view', 'follow', 'join'] }] } },
  ]) {
    writeFileSync(path, JSON.stringify(document));
    await must(steno.steno('apply', '-f', path));
  }
  const ca = await openAuthorities(steno);
  await must(steno.steno('users', 'add', 'bob', '--roles', 'joiner'));
  bob = await person(steno, ca, 'bob', ['joiner'], ['nobody']);
  await must(steno.steno('users', 'add', 'carol', '--roles', 'viewer'));
  carol = await person(steno, ca, 'carol', ['viewer'], ['nobody']);
  owner = steno.terminal('ssh', ['-F', steno.config, '-tt', `${steno.login}@local.steno`], { cols: 90, rows: 24 });
  await owner.until(/[$#] $/);
  [session] = (await eventually(
    () => viewerOf(steno).sessions({ state: 'live' }),
    (rows) => rows.length === 1 && rows[0]!.live !== undefined,
  )) as [SessionInfo];
}, 120_000);
afterAll(() => steno.dispose());

it('goes back while the session continues, searches, catches up, and shows the live session again', async () => {
  const observer = joining(carol!);
  await shows(observer, /you watch .* space goes back/);
  await run(`PS1='$ '; echo first-$((3 + 4))`, /first-7/);
  await run('clear; echo second-$((4 + 4))', /second-8/);
  await shows(observer, /second-8/);

  observer.write(' ');
  await shows(observer, /steno: \d+:\d\d of \d+:\d\d - paused/);
  await run('echo later-$((5 + 5))', /later-10/);
  await shows(observer, /- [\d:]+ behind/);
  expect(rowsOf(observer).join('\n')).not.toContain('later-10');

  // The first moment: nothing from the current screen is visible.
  observer.write('0');
  await shows(observer, /steno: 0:00 of/);
  expect(rowsOf(observer).join('\n')).not.toContain('second-8');

  await eventually(
    () => carol!.json<readonly unknown[]>('search', 'first-7', '--session', session.id).catch(() => []),
    (hits) => hits.length > 0,
  );
  observer.write('/first-7\r');
  await shows(observer, /match 1 of \d+: .*first-7/);
  await shows(observer, /^first-7$/m);
  expect(rowsOf(observer).join('\n')).not.toContain('second-8');
  observer.write('/nowhere-at-all\r');
  await shows(observer, /no match for nowhere-at-all/);
  observer.write('g1:75x\u007f\u001b');
  await shows(observer, /steno: \d+:\d\d of/);

  observer.write('c');
  await shows(observer, /second-8\n[^]*later-10/);
  await eventually(
    async () => rowsOf(observer).join('\n'),
    (screen) => !screen.includes('steno: 0:'),
  );
  // Having caught up, the terminal shows the session itself, and the gateway handles its keys again.
  await run('echo now-$((6 + 6))', /now-12/);
  await shows(observer, /now-12/);
  observer.write('c a b/c\r');
  await owner.until(/carol says: a b\/c/);
  observer.resize(120, 40);
  observer.write('?');
  await eventually(
    async () => rowsOf(observer, { cols: 120, rows: 40 }),
    (rows) => /you watch/.test(rows[39]!),
  );
  observer.write('q');
  expect(await observer.ended).toBe(0);
}, 120_000);

it('is refused to a participant who may join but not view', async () => {
  const observer = joining(bob!);
  await shows(observer, /you watch/);
  observer.write(' ');
  await shows(observer, /going back is not possible: no role allows this/);
  observer.write('q');
  await shows(observer, /\$ *$/m);
  await run('echo again-$((7 + 7))', /again-14/);
  await shows(observer, /again-14/);
  observer.write('q');
  expect(await observer.ended).toBe(0);
}, 60_000);

it('ends with the session, whose last message appears after the replay', async () => {
  const observer = joining(carol!);
  await shows(observer, /you watch/);
  observer.write(' ');
  await shows(observer, /paused/);
  owner.write('exit\r');
  await owner.ended;
  await observer.until(/session [0-9a-z]{26} has ended/);
  expect(await observer.ended).toBe(0);
  expect(rowsOf(observer).join('\n')).toMatch(/has ended/);
}, 60_000);
