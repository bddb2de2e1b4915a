/** Roles as an operator works with them: applied, explained, edited, and in effect for connected users. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AccessExplanation } from '#schemas/api/access/roles.js';
import type { AuditRow } from '#schemas/events/rows.js';
import { must } from './client-tools.js';
import { Steno, bin, eventually } from './machine.js';

const steno = new Steno();
const path = (name: string): string => join(steno.folder, name);
const apply = (text: string, ...more: string[]) => {
  writeFileSync(path('roles.yaml'), text);
  return steno.steno('apply', '-f', path('roles.yaml'), ...more);
};
const admin = (more: string): string =>
  `kind: role\nname: admin\nadminister: true\nview: all\nallow:\n  nodes: {"*": "*"}\n  logins: ["*", root, "{user}"]\n${more}`;

beforeAll(async () => {
  await steno.start();
  await must(steno.steno('login', '--data', steno.data));
}, 60_000);
afterAll(() => steno.dispose());

describe('documents', () => {
  it('are checked, applied, listed, returned as they were written, and removed', async () => {
    const text = '# who looks after the shop\nkind: role\nname: shop\nallow:\n  nodes: {team: shop}\n  logins: [www]\n';
    expect((await must(apply(text, '--check'))).stdout).toBe('role shop would be created (revision 1)\n');
    expect((await steno.steno('get', 'role', 'shop')).status).toBe(66);
    expect((await must(apply(text))).stdout).toBe('role shop created (revision 1)\n');
    expect((await must(apply(text))).stdout).toBe('role shop is as it was (revision 1)\n');
    expect((await must(steno.steno('get', 'role', 'shop'))).stdout).toBe(text);
    expect(JSON.parse((await must(steno.steno('get', 'role', 'shop', '--format', 'json'))).stdout)).toMatchObject({
      kind: 'role',
      revision: 1,
      value: { allow: { logins: ['www'] } },
    });
    expect((await must(steno.steno('roles'))).stdout).toMatch(/shop +www +team=shop +own/);
    expect((await must(steno.steno('rm', 'role', 'shop'))).stdout).toBe('role shop removed\n');
  });

  it('with errors are refused with the place of each error, and nothing in the file is applied', async () => {
    const { status, stderr } = await apply('kind: role\nname: first\n---\nkind: role\nname: second\nallow:\n  login: [www]\n');
    expect(status).toBe(65);
    expect(stderr).toContain(
      'roles.yaml:7:3: allow.login is not a known field; did you mean "logins"? [DOCUMENT_INVALID]\n  5 | name: second\n  6 | allow:\n  7 |   login: [www]\n    |   ^^^^^\n',
    );
    expect((await steno.steno('get', 'role', 'first')).status).toBe(66);
  });

  it('are edited; an edit of an older revision is refused, and its text is kept', async () => {
    await must(apply('kind: role\nname: shop\nmax_session_length: 8h\n'));
    const edit = (editor: string) =>
      steno.exec('env', [`TMPDIR=${steno.folder}`, `EDITOR=${editor}`, process.execPath, bin, 'edit', 'role', 'shop']);
    expect((await must(edit('sed -i s/8h/4h/'))).stdout).toBe('role shop updated (revision 1 to 2)\n');
    // While this editor is open, another user applies a change.
    writeFileSync(path('other.yaml'), 'kind: role\nname: shop\nmax_session_length: 2h\n');
    writeFileSync(path('editor'), `#!/bin/sh\n${process.execPath} ${bin} apply -f ${path('other.yaml')} >&2\nsed -i s/4h/1h/ "$1"\n`, {
      mode: 0o755,
    });
    const refused = await edit(path('editor'));
    expect(refused.status).toBe(75);
    expect(refused.stderr).toMatch(/Your text is kept in .*shop\.yaml[^]*REVISION_CONFLICT/);
    expect((await must(steno.steno('get', 'role', 'shop'))).stdout).toContain('2h');
  });

  it('of roles that users hold cannot be removed', async () => {
    expect(await steno.steno('rm', 'role', 'admin')).toMatchObject({
      status: 73,
      stderr: expect.stringContaining(`admin is held by ${steno.login}`),
    });
  });
});

describe('a decision', () => {
  it('is explained by role, rule and line', async () => {
    await must(apply(admin('deny:\n  # nobody is mysql\n  logins: [mysql]\n')));
    const allowed = await must(steno.steno('access', 'check', steno.login, 'local', 'root'));
    expect(allowed.stdout).toMatch(
      /may log in as root on local: role admin allows it\n {2}role admin, allow\.nodes, line 6: nodes: .*\n {2}role admin, allow\.logins\[1\], line 7: /,
    );
    const denied = await steno.steno('access', 'check', steno.login, 'local', 'mysql', '--json');
    expect(denied.status).toBe(77);
    expect(JSON.parse(denied.stdout) as AccessExplanation).toMatchObject({
      allowed: false,
      because: [{ role: 'admin', rule: 'deny.logins[0]', line: 10, text: 'logins: [mysql]' }],
    });
  });

  it('that changes applies to connected users at once, with a message', async () => {
    const shell = steno.terminal('ssh', ['-F', steno.config, '-tt', `root@local.steno`, 'echo in""side; cat']);
    await shell.until(/inside/);
    await must(apply(admin('deny:\n  logins: [root]\n')));
    await shell.ended;
    expect(shell.text()).toContain('role admin denies login root [ACCESS_DENIED]');
    const rows = await eventually(
      async () => JSON.parse((await must(steno.steno('audit', '--json'))).stdout) as readonly AuditRow[],
      (all) => all.some(({ event }) => event === 'session.ended'),
    );
    const [change] = rows.filter(({ event, target }) => event === 'role.put' && target === 'admin');
    expect(JSON.parse(change!.data)).toMatchObject({ to: expect.any(Number), source: expect.stringContaining('logins: [root]') });
    await must(apply(admin('')));
  });
});
