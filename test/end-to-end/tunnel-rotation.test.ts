/** The CAs that a node behind a tunnel depends on get new keys while it stays connected and serves sessions. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { NodeStatus } from '#schemas/api/inventory/nodes.js';
import type { CaReport } from '#schemas/api/services/ca.js';
import type { Enrolment } from '#schemas/api/services/certificates.js';
import type { AuditRow } from '#schemas/events/rows.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import { formatPublicLine, parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { must, viewerOf } from './client-tools.js';
import { Steno, eventually } from './machine.js';
import type { Terminal } from './machine.js';
import { startTunnelNode } from './tunnel-node.js';
import type { TunnelNode } from './tunnel-node.js';

const steno = new Steno();
let node: TunnelNode;
let live: Terminal;
const host = `${steno.login}@inner.steno`;
const logIn = () => must(steno.steno('login', '--data', steno.data));
const enrolment = (): Enrolment => JSON.parse(readFileSync(join(node.data, 'enrolment.json'), 'utf8')) as Enrolment;
/** The CA keys that signed the node's host certificate and its TLS certificate. */
const signers = (): { readonly host: string; readonly service: string } => ({
  host: formatPublicLine(parseCertificate(parseAuthorizedLine(enrolment().host_certificate!).blob).signatureKey),
  service: new X509Certificate(enrolment().service_certificate).issuer,
});
const audit = async (event: string): Promise<readonly AuditRow[]> => (await viewerOf(steno).audit()).filter((row) => row.event === event);

beforeAll(async () => {
  await steno.start();
  await logIn();
  node = await startTunnelNode(steno, 'inner');
  await eventually(
    () => steno.ssh(host, 'true'),
    ({ status: code }) => code === 0,
  );
  live = steno.terminal('ssh', ['-tt', '-F', steno.config, host]);
  live.write('PS1="ready>"; echo begun-$((40+2))\n');
  await live.until(/begun-42/);
}, 120_000);
afterAll(async () => {
  await node?.stop();
  await steno.dispose();
});

const rotated = ['ssh-host', 'ssh-user', 'x509-service'] as const;
const phases = ['init', 'update-clients', 'update-servers', 'standby'] as const;

it.each(phases)(
  'in phase %s of all three, the session continues and new ones are admitted',
  async (phase) => {
    const [before, pid] = [signers(), node.pid()];
    await eventually(
      () => steno.json<CaReport[]>('ca', 'status'),
      (reports) => reports.every(({ waits_for: waiting }) => waiting.length === 0),
    );
    for (const ca of rotated) await must(steno.steno('ca', 'rotate', ca, '--phase', phase));
    await logIn();
    live.write(`echo ${phase}-$((1+1))\n`);
    await live.until(new RegExp(`${phase}-2`));
    // Certificates that the new key must sign are renewed automatically over the tunnel.
    if (phase === 'update-clients')
      await eventually(
        () => Promise.resolve(signers()),
        (now) => now.service !== before.service,
        60_000,
      );
    if (phase === 'update-servers')
      await eventually(
        () => Promise.resolve(signers()),
        (now) => now.host !== before.host,
        60_000,
      );
    const { status: code, stdout } = await eventually(
      () => steno.ssh('-T', host, 'echo in'),
      (result) => result.status === 0,
    );
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'in\n' });
    expect((await steno.json<NodeStatus[]>('nodes')).find(({ name }) => name === 'inner')).toMatchObject({ state: 'live' });
    expect(node.pid()).toBe(pid);
  },
  180_000,
);

it('the tunnel stayed the same from the first phase to the last, and renewals are audited', async () => {
  live.write('exit\n');
  expect(await live.ended).toBe(0);
  const opened = (await audit('tunnel.open')).filter(({ node: name }) => name === 'inner');
  const closed = (await audit('tunnel.close')).filter(({ node: name }) => name === 'inner');
  expect([opened.length, closed.length]).toEqual([1, 0]);
  const renewals = await eventually(
    () => audit('service.renew'),
    (rows) => rows.filter(({ actor }) => actor === 'agent/inner').length >= 2,
  );
  expect(renewals.filter(({ actor, outcome }) => actor === 'agent/inner' && outcome === 'success').length).toBeGreaterThanOrEqual(2);
});

it('a node that comes back after every CA was replaced trusts the new ones', async () => {
  await node.stop();
  await node.start();
  expect(
    await eventually(
      () => steno.ssh('-T', host, 'echo again'),
      (result) => result.status === 0,
    ),
  ).toMatchObject({ stdout: 'again\n' });
});
