/** Host certificates of OpenSSH servers without an agent, kept fresh by a bot that may do nothing else. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { BotToken } from '#schemas/api/people/bots.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import { parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { must, viewerOf } from './client-tools.js';
import { Steno, bin, eventually } from './machine.js';
import type { Result } from './machine.js';
import { startStockNode } from './stock-node.js';
import type { StockNode } from './stock-node.js';

const steno = new Steno();
let node: StockNode;
const asBot = (...args: readonly string[]): Promise<Result> =>
  steno.exec(process.execPath, [bin, ...args], { env: { STENO_HOME: join(steno.folder, 'bot') } });
const sign = (...more: readonly string[]): Promise<Result> => asBot('ca', 'sign-host', `${node.hostKey}.pub`, '--name', 'stock', ...more);
const certificate = () => parseCertificate(parseAuthorizedLine(readFileSync(`${node.hostKey}-cert.pub`, 'utf8').trim()).blob);

beforeAll(async () => {
  await steno.start('--no-node');
  await must(steno.steno('login', '--data', steno.data));
  node = await startStockNode(steno, 'stock');
  const file = join(steno.folder, 'role.yaml');
  writeFileSync(file, 'kind: role\nname: host-certificates\nallow:\n  rules:\n    - resources: [node]\n      verbs: [update]\n');
  await must(steno.steno('apply', '-f', file));
  const { token } = await steno.json<BotToken>('bots', 'add', 'host-certificates', '--roles', 'host-certificates');
  writeFileSync(join(steno.folder, 'token'), token, { mode: 0o600 });
  await must(
    steno.steno('bot', '--once', '--proxy', steno.run.web, '--token-file', join(steno.folder, 'token'), '--out', join(steno.folder, 'bot')),
  );
}, 120_000);
afterAll(async () => {
  await node?.stop();
  await steno.dispose();
});

it('a timer gets a certificate with the requested lifetime, once, and sshd presents it', async () => {
  const before = certificate().serial;
  const out = `${node.hostKey}-cert.pub`;
  // The certificate of the administrator is still valid.
  expect(await sign('--out', out, '--ttl', '30d')).toMatchObject({ status: 0, stdout: '', stderr: '' });
  expect(certificate().serial).toBe(before);
  writeFileSync(out, '');
  expect(await sign('--out', out, '--ttl', '30d')).toMatchObject({ status: 0, stdout: '', stderr: expect.stringContaining('is new') });
  const made = certificate();
  expect(Number(made.validBefore) - Date.now() / 1000).toBeGreaterThan(29 * 86_400);
  expect(made.principals).toEqual(['stock', 'stock.steno']);
  await sign('--out', out, '--ttl', '30d');
  expect(certificate().serial).toBe(made.serial);
  node.reload();
  await eventually(
    () => steno.ssh(`${steno.login}@stock.steno`, 'echo in'),
    ({ stdout }) => stdout === 'in\n',
  );
  const rows = await eventually(
    () => viewerOf(steno).audit({ event: 'host_certificate.' }),
    (found) => found.some(({ actor }) => actor === 'host-certificates'),
  );
  expect(rows.find(({ actor }) => actor === 'host-certificates')).toMatchObject({
    outcome: 'success',
    target: 'stock',
    data: JSON.stringify({ valid_before: Number(made.validBefore) * 1000, serials: [made.serial.toString()] }),
  });
});

it.each<readonly [string, readonly string[]]>([
  ["a name that is not a node's", ['--name', 'gw']],
  ['more than 30 days', ['--name', 'stock', '--ttl', '60d']],
])('the bot gets none for %s, and the refusal is audited', async (_what, args) => {
  const refused = await asBot('ca', 'sign-host', `${node.hostKey}.pub`, ...args);
  expect(refused).toMatchObject({ status: 77, stdout: '', stderr: expect.stringContaining('ACCESS_DENIED') });
  const name = args[1]!;
  await eventually(
    () => viewerOf(steno).audit({ event: 'host_certificate.' }),
    (found) => found.some(({ actor, outcome, target }) => actor === 'host-certificates' && outcome === 'failure' && target === name),
  );
});
