/** Steady use across the expiry of session certificates: a real authority, the gateway's certificate cache, and a clock that the test moves. */
import { afterAll, expect, it } from 'vitest';
import { checkCertificate } from '#schemas/ssh/admission.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import { formatPublicLine, parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { generateKey, verifyRepeated } from '#runtime/ssh/keys.js';
import { signUserProof } from '#runtime/ssh/testing/user-proof.js';
import { administrator, authorityIn, Cleanup, clientOf, temporaryFolder } from '../../authority/testing/authority.js';
import { SessionCertificates } from '../../gateway/ssh/dial/session-certificates.js';
import type { ProvenUser } from '../../gateway/ssh/dial/session-certificates.js';

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

/** Offsets of the clocks of node and gateway from the authority's, in seconds. */
const skews = [
  [0, 0],
  [60, 0],
  [-60, 0],
  [60, -60],
  [-60, 60],
] as const;

it('no node refuses a connection every 100 ms for eleven minutes, even with clocks a minute off', async () => {
  let now = Math.floor(Date.now() / 1000) * 1000 + 937;
  const authority = await authorityIn(temporaryFolder(cleanup), cleanup, {}, () => now);
  const admin = await administrator(authority, cleanup, () => now);
  await admin.call('PUT', '/v1/nodes/web-1', { name: 'web-1', kind: 'openssh', address: 'h:22', labels: {}, host_keys: [] });
  const client = await clientOf(authority, { kind: 'gateway', name: 'gw-1' }, cleanup);
  const trusted = client.current().ssh_user_ca.map((line) => parseAuthorizedLine(line).blob);
  let asked = 0;
  const issued = {
    sessionCertificate: async (request: Parameters<typeof client.sessionCertificate>[0]) => (
      asked++,
      formatPublicLine(await client.sessionCertificate(request))
    ),
  };
  const admitted = {
    identity: { user: admin.login.user, validBefore: now },
    blob: Buffer.from(admin.certificate),
    source: '127.0.0.1',
    confirmation: null,
  } as unknown as ProvenUser;
  // A new connection each time.
  const connected = (): ProvenUser => ({ ...admitted, proof: signUserProof(admin.key, admin.certificate, { userName: 'root' }) });
  const gateways = skews.map(([, gateway]) => new SessionCertificates(issued, generateKey(), () => now + gateway * 1000));
  const refusals: string[] = [];
  for (let step = 0; step < 6_600; step++) {
    const shown = await Promise.all(gateways.map((gateway) => gateway.of(connected(), 'root', 'web-1')));
    shown.forEach((blob, i) => {
      const [node, gateway] = skews[i]!;
      // Nodes compare whole seconds.
      const verdict = checkCertificate(parseCertificate(blob), {
        kind: 'user',
        now: Math.floor(now / 1000) + node,
        trusted,
        principal: 'root',
        verify: verifyRepeated,
      });
      if (!verdict.ok) refusals.push(`at ${step / 10} s, node ${node}, gateway ${gateway}: ${verdict.code}`);
    });
    now += 100;
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(refusals).toEqual([]);
  // As few certificates as needed: each is used for half its lifetime.
  expect(asked).toBeLessThan(skews.length * 8);
});
