import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { StenoError } from '#schemas/base/errors.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import { formatPublicLine, parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { issueCertificate } from '#runtime/ssh/issue.js';
import { generateKey } from '#runtime/ssh/keys.js';
import type { ProvenUser } from './session-certificates.js';
import { SessionCertificates } from './session-certificates.js';
import { everybody } from '../../sessions/change-scope.js';
import { openWorld } from '../../testing/harness.js';

const ca = generateKey();
const key = generateKey();
const admitted = {
  identity: { user: 'alice', roles: ['dev'], requests: [], mfa: null, cluster: null },
  blob: Buffer.from('a user certificate'),
  source: '192.0.2.1',
  confirmation: null,
} as unknown as ProvenUser;

/** Issues certificates for five minutes by its own clock, as the authority does, and counts requests. */
function authorityAt(now: () => number): {
  asked: number;
  refuse: StenoError | undefined;
  sessionCertificate(request: { readonly public_key: string; readonly login: string }): Promise<string>;
} {
  let serial = 0n;
  return {
    asked: 0,
    refuse: undefined,
    async sessionCertificate({ public_key, login }) {
      this.asked++;
      await Promise.resolve();
      if (this.refuse !== undefined) throw this.refuse;
      const seconds = Math.floor(now() / 1000);
      return formatPublicLine(
        issueCertificate(ca, {
          publicKey: Buffer.from(parseAuthorizedLine(public_key).blob),
          serial: ++serial,
          kind: 'user',
          keyId: 'user=alice',
          principals: [login],
          validAfter: BigInt(seconds - 60),
          validBefore: BigInt(seconds + 300),
          criticalOptions: new Map(),
          extensions: new Map(),
        }),
      );
    },
  };
}

function scene(skew = 0): {
  clock: { now: number };
  authority: ReturnType<typeof authorityAt>;
  of: () => Promise<Buffer>;
  certificates: SessionCertificates;
} {
  const clock = { now: 1_800_000_000_900 };
  const authority = authorityAt(() => clock.now);
  const certificates = new SessionCertificates(authority, key, () => clock.now + skew);
  return { clock, authority, certificates, of: () => certificates.of(admitted, 'root', 'web-1') };
}

const settled = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
};
const end = (blob: Buffer): number => Number(parseCertificate(blob).validBefore) * 1000;

describe('a certificate for a node', () => {
  it('is used for half its life, then renewed while the old one is still handed out', async () => {
    const { clock, authority, of } = scene();
    const first = await of();
    clock.now += 148_000;
    expect(await of()).toBe(first);
    expect(authority.asked).toBe(1);
    clock.now += 2_000;
    expect(await of()).toBe(first);
    await settled();
    expect(authority.asked).toBe(2);
    expect(await of()).not.toBe(first);
  });

  it.each([-60_000, 0, 60_000])(
    "is never handed out with less than a minute left, plus a minute for the node's clock, with the gateway's clock off by %d ms",
    async (skew) => {
      const { clock, of } = scene(skew);
      for (let age = 0; age < 660; age++) {
        expect(end(await of()) - clock.now).toBeGreaterThanOrEqual(75_000);
        // Nobody asks for a while, so the certificate is not renewed in time.
        clock.now += 1_000 + (age % 7) * 20_000;
        await settled();
      }
    },
  );

  it('is requested once for all who need it at the same time, and again after a relevant change', async () => {
    const { authority, of, certificates } = scene();
    const blobs = await Promise.all(Array.from({ length: 50 }, of));
    expect([new Set(blobs).size, authority.asked]).toEqual([1, 1]);
    certificates.forget({ ...everybody, concerns: ({ identity }) => identity.user !== 'alice' });
    await of();
    expect(authority.asked).toBe(1);
    certificates.forget(everybody);
    const late = of();
    certificates.forget(everybody);
    const later = of();
    await Promise.all([late, later]);
    expect(authority.asked).toBe(3);
    expect(await of()).toBe(await later);
  });

  it('is used further while the authority is away, but not after the authority refuses', async () => {
    const { clock, authority, of } = scene();
    const first = await of();
    clock.now += 155_000;
    authority.refuse = new StenoError('AUTHORITY_UNREACHABLE');
    expect(await of()).toBe(first);
    await settled();
    expect(await of()).toBe(first);
    await settled();
    authority.refuse = new StenoError('ACCESS_DENIED');
    expect(await of()).toBe(first);
    await settled();
    await expect(of()).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
  });

  it('is replaced when a node refused it, unless it was fresh or belongs to one confirmed session', async () => {
    const { clock, of, certificates } = scene();
    const first = await of();
    expect(await certificates.replacement(first, admitted, 'root', 'web-1')).toBeNull();
    clock.now += 100_000;
    const second = await certificates.replacement(first, admitted, 'root', 'web-1');
    expect(end(second!)).toBeGreaterThan(end(first));
    expect(await certificates.replacement(first, admitted, 'root', 'web-1')).toBe(second);
    expect(await of()).toBe(second);
    expect(await certificates.replacement(first, { ...admitted, confirmation: 'x' }, 'root', 'web-1')).toBeNull();
  });
});

/** faketime from Debian. Without it, the shifted clock of test/end-to-end/clocks.test.ts remains. */
const libfaketime = ['/usr/lib', ...readdirSync('/usr/lib').map((name) => `/usr/lib/${name}`)]
  .map((folder) => `${folder}/faketime/libfaketime.so.1`)
  .find(existsSync);

describe.skipIf(libfaketime === undefined)('a node whose clock is fast', () => {
  let close: (() => Promise<void>) | undefined;
  afterEach(() => close?.());

  it('gets a fresh certificate when it refuses one, before the user is told', async () => {
    const nodeClock = join(tmpdir(), `steno-clock-${process.pid}`);
    writeFileSync(nodeClock, '+0s');
    let ahead = 0;
    const world = await openWorld({
      now: () => Date.now() + ahead,
      sshdEnv: { LD_PRELOAD: libfaketime!, FAKETIME_TIMESTAMP_FILE: nodeClock, FAKETIME_NO_CACHE: '1', DONT_FAKE_MONOTONIC: '1' },
    });
    close = () => world.close();
    const authority = authorityAt(() => Date.now() + ahead);
    world.authority.sessionCertificate = (request) => {
      const { userCa } = world.authority;
      const seconds = BigInt(Math.floor((Date.now() + ahead) / 1000));
      authority.asked++;
      return Promise.resolve(
        formatPublicLine(
          issueCertificate(userCa, {
            publicKey: Buffer.from(parseAuthorizedLine(request.public_key).blob),
            serial: BigInt(authority.asked),
            kind: 'user',
            keyId: 'user=alice',
            principals: [request.login],
            validAfter: seconds - 60n,
            validBefore: seconds + 300n,
            criticalOptions: new Map(),
            extensions: new Map([['permit-pty', '']]),
          }),
        ),
      );
    };
    const connect = (): ReturnType<typeof world.run> => world.run('ssh', ['-F', world.sshConfig, 'root@node-1', 'echo in']);
    expect(await connect()).toMatchObject({ status: 0, stdout: 'in\n' });
    // One minute passes here, and more than five on the node.
    ahead = 60_000;
    writeFileSync(nodeClock, '+310s');
    expect(await connect()).toMatchObject({ status: 0, stdout: 'in\n' });
    expect(authority.asked).toBe(2);
    // If no certificate can help, the message says so, and what to check.
    writeFileSync(nodeClock, '+2h');
    ahead += 30_000;
    const { status, stderr } = await connect();
    expect([status, authority.asked]).toEqual([255, 3]);
    expect(stderr).toMatch(/\[NODE_REFUSED\]\n.*its clock may be wrong/);
  });
});
