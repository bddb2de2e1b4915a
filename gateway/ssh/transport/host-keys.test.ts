import { describe, expect, it } from 'vitest';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import { issueCertificate } from '#runtime/ssh/issue.js';
import { generateKey } from '#runtime/ssh/keys.js';
import { HostKeys } from './host-keys.js';

const hour = 3_600_000;

/** Certificates for a day, from a source that may fail, under a clock. */
function world(): {
  keys: HostKeys;
  clock: { now: number };
  source: { asked: number; fails: boolean };
  serial(name?: string): Promise<number>;
} {
  const [ca, key, other] = [generateKey(), generateKey(), generateKey('p256')];
  const clock = { now: 1_800_000_000_000 };
  const source = { asked: 0, fails: false };
  const keys = new HostKeys(
    (name, { publicBlob }) => {
      source.asked += 1;
      if (source.fails) return Promise.reject(new Error('on purpose'));
      const seconds = BigInt(Math.floor(clock.now / 1000));
      return Promise.resolve(
        issueCertificate(ca, {
          publicKey: publicBlob,
          serial: BigInt(source.asked),
          kind: 'host',
          keyId: name,
          principals: [name],
          validAfter: seconds,
          validBefore: seconds + 86_400n,
          criticalOptions: new Map(),
          extensions: new Map(),
        }),
      );
    },
    [key, other],
    () => clock.now,
  );
  const serial = async (name = 'web-1'): Promise<number> => {
    const shown = await keys.of(name);
    return Number(
      parseCertificate((shown.ready['ssh-ed25519-cert-v01@openssh.com'] as unknown as { getPublicSSH(): Buffer }).getPublicSSH()).serial,
    );
  };
  return { keys, clock, source, serial };
}

describe('host certificates for the names of the gateway', () => {
  it('are kept for half of their life, each name separately, and then replaced', async () => {
    const { clock, serial } = world();
    expect([await serial(), await serial('web-2')]).toEqual([1, 2]);
    clock.now += 11 * hour;
    expect([await serial(), await serial('web-2')]).toEqual([1, 2]);
    clock.now += 2 * hour;
    expect([await serial('web-2'), await serial()]).toEqual([3, 4]);
  });

  it('are replaced at once when another CA key signs', async () => {
    const { keys, serial } = world();
    await serial();
    keys.forget();
    expect(await serial()).toBe(2);
    expect(await serial()).toBe(2);
  });

  it('for another kind of key are requested when a client will choose that kind, and kept in the same way', async () => {
    const { keys, clock, source, serial } = world();
    await serial();
    const [ed25519, p256] = ['ssh-ed25519-cert-v01@openssh.com', 'ecdsa-sha2-nistp256-cert-v01@openssh.com'];
    const ask = async (...wanted: string[]): Promise<string[]> => Object.keys((await (await keys.of('web-1')).with(wanted)) ?? {});
    expect(await ask(ed25519, p256)).toEqual([]);
    expect(await ask('ssh-rsa', 'ecdsa-sha2-nistp256', p256)).toEqual([]);
    expect(await ask('ssh-rsa')).toEqual([]);
    expect(source.asked).toBe(1);
    expect((await ask('ssh-rsa', p256, ed25519)).sort()).toEqual([p256, 'ecdsa-sha2-nistp256', 'ssh-ed25519', ed25519].sort());
    await ask(p256);
    expect(source.asked).toBe(2);
    clock.now += 13 * hour;
    await ask(p256);
    expect(source.asked).toBe(4);
    keys.forget();
    await ask(p256);
    expect(source.asked).toBe(6);
    source.fails = true;
    keys.forget();
    expect(await ask(p256)).toContain(p256);
  });

  it('are used until they expire while no new ones can be issued', async () => {
    const { clock, source, serial, keys } = world();
    await serial();
    source.fails = true;
    keys.forget();
    clock.now += 23 * hour;
    expect(await serial()).toBe(1);
    clock.now += 2 * hour;
    await expect(serial()).rejects.toThrow('on purpose');
    source.fails = false;
    expect(await serial()).toBeGreaterThan(1);
  });
});
